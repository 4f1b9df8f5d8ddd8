"""The JSON of replies that both kinds of requests share. Knows no transport."""

from __future__ import annotations

import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import attrs
import numpy as np

from customize.interfaces.runtime import Said
from customize.serving.asked import Asked
from customize.serving.choices import Choice
from customize.serving.speech import Finish, Piece

Json = dict[str, Any]
_LOWEST = -9999.0  # what the interface writes for a probability of 0


@attrs.define
class Heard:
    """What has been said of one choice so far."""

    text: str = ""
    said: list[Said] = attrs.field(factory=list)
    finish: Finish | None = None

    def hear(self, piece: Piece) -> None:
        self.text += piece.text
        self.said += piece.said
        self.finish = piece.finish


class Form(ABC):
    """One reply, whole or in chunks, under one id."""

    prefix: ClassVar[str]
    kind: ClassVar[str]
    chunk_kind: ClassVar[str]

    def __init__(self, asked: Asked, choices: Sequence[Choice]) -> None:
        self.asked = asked
        self.choices = choices
        self.heard = [Heard() for _ in choices]
        self._id = f"{self.prefix}-{secrets.token_hex(12)}"
        self._created = int(time.time())

    @abstractmethod
    def choice(self, number: int) -> Json:
        """A choice that is at its end."""

    @abstractmethod
    def changes(self, number: int, piece: Piece) -> Iterator[Json]:
        """What a piece, heard already, adds to a choice."""

    def whole(self) -> Json:
        """The reply, when every choice is at its end."""
        choices = [self.choice(number) for number in range(len(self.choices))]
        return {**self._about(self.kind), "choices": choices, "usage": self.usage()}

    def chunks(self, number: int, piece: Piece) -> Iterator[Json]:
        """The reply's chunks for a piece, heard already."""
        rest = {"usage": None} if self.asked.include_usage else {}
        for change in self.changes(number, piece):
            yield {**self._about(self.chunk_kind), "choices": [change], **rest}

    def last_chunk(self) -> Json:
        """What tells the usage."""
        return {**self._about(self.chunk_kind), "choices": [], "usage": self.usage()}

    def usage(self) -> dict[str, int]:
        """Tokens read, once for each prompt, and drawn."""
        own = self.choices[:: self.asked.num_choices]
        read = sum(len(choice.query.tokens) for choice in own)
        drawn = sum(choice.speech.num_tokens for choice in self.choices)
        return {"prompt_tokens": read, "completion_tokens": drawn, "total_tokens": read + drawn}

    def token_text(self, token: int) -> str:
        """A token by itself, control tokens written out."""
        return self.asked.served.renderer.text_of(np.array([token], np.int32))

    def _about(self, kind: str) -> Json:
        model = self.asked.served.name
        return {"id": self._id, "object": kind, "created": self._created, "model": model}


def bounded(logprob: float) -> float:
    """A number that JSON can hold."""
    return max(logprob, _LOWEST)
