"""One answer as it grows: from tokens to text that is certain. Knows no protocol.

Three things are held back: bytes of a character that is not whole, text that may begin a stop
text, and blanks that may be the answer's last.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Literal

import attrs

from customize.data.rendering.growing_text import GrowingText
from customize.interfaces.renderer import Renderer
from customize.interfaces.runtime import Said

Finish = Literal["stop", "length", "tool_calls"]


@attrs.frozen
class Piece:
    """Text that is certain, and the tokens it is of; ``finish`` says why the answer ends here."""

    text: str
    said: tuple[Said, ...] = ()
    finish: Finish | None = None


class Speech:
    """Hears tokens and says pieces; together they are the answer's text up to a stop text.

    trimmed: without the blanks around it, as a message's content is.
    ended: a stop text was reached; nothing more need be heard.
    """

    def __init__(self, renderer: Renderer, stops: tuple[str, ...], trimmed: bool) -> None:
        self.num_tokens = 0
        self.ended = False
        self._text = GrowingText(renderer)
        self._stop_tokens = frozenset(renderer.stop_tokens)
        self._stops = stops
        self._trimmed = trimmed
        self._stopped = False
        self._held = ""
        self._at = 0  # characters before what is held
        self._has_spoken = False
        self._waiting: deque[tuple[int, Said]] = deque()  # with where the token's text begins

    @property
    def tokens(self) -> list[int]:
        """Without the stop token."""
        return self._text.tokens

    def hear(self, said: Said) -> Piece:
        """What is certain now."""
        self.num_tokens += 1
        if said.token in self._stop_tokens:
            self._stopped = True
            return Piece("")
        self._waiting.append((self._at + len(self._held), said))
        self._held += self._text.add(said.token)
        return self._say(is_last=False)

    def end(self) -> Piece:
        """What was held back, and why the answer ends."""
        if self.ended:
            return Piece("", finish="stop")
        self._held += self._text.rest()
        last = self._say(is_last=True)
        return attrs.evolve(last, finish="stop" if self.ended or self._stopped else "length")

    def _say(self, is_last: bool) -> Piece:
        found = [at for stop in self._stops if (at := self._held.find(stop)) >= 0]
        self.ended = bool(found)
        certain = self._held[: min(found)] if found else self._held
        if not found and not is_last:
            begun = max((_length_begun(certain, stop) for stop in self._stops), default=0)
            certain = certain[: len(certain) - begun]
        if self._trimmed:
            certain = certain.rstrip()
        self._held = self._held[len(certain) :]
        self._at += len(certain)
        text = certain if self._has_spoken or not self._trimmed else certain.lstrip()
        self._has_spoken |= bool(text)
        return Piece(text, tuple(self._said_before(self._at)))

    def _said_before(self, place: int) -> Iterator[Said]:
        while self._waiting and self._waiting[0][0] < place:
            yield self._waiting.popleft()[1]


def _length_begun(text: str, stop: str) -> int:
    """Characters at the end of ``text`` with which ``stop`` may begin."""
    longest = min(len(text), len(stop) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(stop[:n])), 0)
