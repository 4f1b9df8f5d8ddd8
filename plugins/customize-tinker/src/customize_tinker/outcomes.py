"""What became of an operation: a result, or why it failed and whose fault that is."""

from __future__ import annotations

import json
import logging
from typing import Any

import attrs

from customize import (
    CheckpointError,
    DataError,
    ExportError,
    ModelError,
    NonFiniteError,
    OptionError,
    Unsupported,
)
from customize_tinker.refusals import Refusal

JSON, PROTOBUF = "application/json", "application/x-protobuf"
# What another request, or other data, would mend; the rest is the server's.
_USERS = (
    *(CheckpointError, DataError, ExportError, ModelError, NonFiniteError, OptionError),
    *(Unsupported, Refusal),
)

_log = logging.getLogger("customize.tinker")


@attrs.frozen(eq=False)
class Outcome:
    """The bytes that answer whoever asks for the result. at_fault: ``user`` or ``server``."""

    body: bytes
    media: str = JSON
    at_fault: str | None = None


def succeeded(value: dict[str, Any]) -> Outcome:  # any JSON
    return Outcome(json.dumps(value, separators=(",", ":")).encode())


def failed(error: Exception) -> Outcome:
    """The message of an error that was raised on purpose; of another its kind alone."""
    if isinstance(error, _USERS):
        message, at_fault = str(error), "user"
    else:
        _log.exception("an operation failed", exc_info=error)
        message, at_fault = f"{type(error).__name__} on the server: see its log", "server"
    body = json.dumps({"error": message, "category": at_fault}).encode()
    return Outcome(body, at_fault=at_fault)
