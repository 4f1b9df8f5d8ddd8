"""Ids and ``tinker://`` paths: made here, checked before anything is looked up by them.

A session's id is drawn; those of its models and samplers are made of it, since clients derive them.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import Literal

import attrs

from customize_tinker.refusals import missing, unreadable

Kind = Literal["weights", "sampler_weights", "external_weights"]

_SESSION = r"[0-9a-f]{32}"
_MODEL = re.compile(rf"({_SESSION}):train:(\d{{1,10}})")
_SAMPLER = re.compile(rf"({_SESSION}):sample:(\d{{1,10}})")
_LOSS = re.compile(rf"({_SESSION}):loss:(\d{{1,10}})")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,127}")
_PATH = re.compile(
    rf"tinker://({_SESSION}:train:\d{{1,10}})/(weights|sampler_weights|external_weights)/(.*)"
)
_RESERVED = {"con", "prn", "aux", "nul", *(f"{d}{n}" for d in ("com", "lpt") for n in range(10))}


def new_session_id() -> str:
    return secrets.token_hex(16)


def session_id_of(tenant: str, request: str) -> str:
    """Of a request that a client names, and may send again."""
    return hashlib.sha256(f"{tenant} {request}".encode()).hexdigest()[:32]


def check_session_id(text: str) -> str:
    if not re.fullmatch(_SESSION, text):
        raise missing("such session")
    return text


def model_id(session_id: str, number: int) -> str:
    return f"{session_id}:train:{number}"


def sampler_id(session_id: str, number: int) -> str:
    return f"{session_id}:sample:{number}"


def loss_id(session_id: str, number: int) -> str:
    return f"{session_id}:loss:{number}"


def session_of_loss(id: str) -> str:
    """The session that created a custom loss."""
    if not (found := _LOSS.fullmatch(id)):
        raise missing("such loss")
    return found[1]


def session_of(id: str) -> str:
    """The session that a model's or sampler's id was made of."""
    found = _MODEL.fullmatch(id) or _SAMPLER.fullmatch(id)
    if not found:
        raise missing("such model or sampler")
    return found[1]


def folder_name(id: str) -> str:
    """A colon is no character of a file's name everywhere."""
    return id.replace(":", "-")


def check_name(name: str) -> str:
    """A checkpoint's name is a file's as well."""
    if not _NAME.fullmatch(name) or name.split(".")[0].lower() in _RESERVED:
        raise unreadable(
            f"{name[:80]!r} is no name: use up to 128 of a-z, A-Z, 0-9, _, . and -, "
            "no . or - at the start"
        )
    return name


@attrs.frozen
class Address:
    """Where a checkpoint is, as clients write it."""

    model_id: str
    kind: Kind
    name: str

    @classmethod
    def parse(cls, path: str) -> Address:
        found = _PATH.fullmatch(path)
        if not found:
            raise missing(f"checkpoint {path[:200]!r}")
        kind: Kind = found[2]  # type: ignore[assignment]  # the pattern allows no other
        return cls(found[1], kind, check_name(found[3]))

    def __str__(self) -> str:
        return f"tinker://{self.model_id}/{self.kind}/{self.name}"
