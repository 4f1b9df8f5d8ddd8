"""What is settled with a service before a session begins. Knows no operation."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from customize import BackendError
from customize_tinker.client.connection import Connection, Refused

SDK_VERSION = "customize"
_UNKNOWN = 404


@attrs.frozen
class Flags:
    """How a service wants to be asked; defaults are the official client's.

    exchanges_keys: it gives a short one for the one that it knows. most_data, most_bytes: of one
    ``forward_backward``.
    """

    exchanges_keys: bool = False
    most_data: int = 1024
    most_bytes: int = 5_000_000

    @classmethod
    def ask(cls, connection: Connection) -> Flags:
        """Raises Refused: the service is not to be had."""
        try:
            told = connection.told("client/config", {"sdk_version": SDK_VERSION})
        except Refused as refused:
            if refused.status == _UNKNOWN:
                return cls()
            raise
        return cls(
            bool(told.get("pjwt_auth_enabled", False)),
            int(told.get("fwdbwd_max_chunk_len", cls().most_data)),
            int(told.get("fwdbwd_max_chunk_bytes_count", cls().most_bytes)),
        )


def keys_of(connection: Connection, key: str, flags: Flags) -> Callable[[], str]:
    """What says the key to be sent, now."""
    return ShortKeys(connection).now if flags.exchanges_keys else lambda: key


class ShortKeys:
    """Keys that end soon; a new one is asked for, with the lasting key, at half of its time.

    Of any thread.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._key = ""
        self._until = 0.0

    def now(self) -> str:
        with self._lock:
            if time.monotonic() >= self._until:
                self._key = self._connection.told("auth/token", {})["jwt"]
                claims = _claims(self._key)
                self._until = time.monotonic() + (claims["exp"] - claims["iat"]) / 2
            return self._key


def _claims(jwt: str) -> Mapping[str, Any]:  # any JSON
    """What the service says in it; whether it said so is its own matter."""
    try:
        part = jwt.split(".")[1]
        found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        return {"exp": float(found["exp"]), "iat": float(found["iat"])}
    except (IndexError, KeyError, TypeError, ValueError):
        raise BackendError("the service gives a key for this one that is no JWT") from None
