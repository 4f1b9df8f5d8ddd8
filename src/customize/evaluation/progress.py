"""What a person sees while columns answer: one live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from typing import TextIO

from customize._live_line import LiveLine

_PLAIN_EVERY_S = 10.0


class AnswerProgress:
    """How many answers or likelihoods there are so far and of all, and the time left."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._line = LiveLine(stream)
        self._said = time.monotonic()

    def begin(self, column: str, total: int, what: str = "answers") -> None:
        """A column begins to answer, or to weigh."""
        self._column, self._total, self._what, self._done = column, total, what, 0
        self._begun = time.monotonic()

    def tell(self, num_more: int) -> None:
        """So many more are there; none are, where all that is asked needs none."""
        if not num_more:
            return
        self._done += num_more
        now = time.monotonic()
        seconds = now - self._begun
        told = f"{self._column}: {self._done}/{self._total} {self._what}"
        if self._done == self._total:
            self._line.say(f"{told}  took {seconds:.0f} s")
        elif self._line.is_live or now - self._said >= _PLAIN_EVERY_S:
            self._said = now
            left = seconds / self._done * (self._total - self._done)
            self._line.show(f"{told}  {left:.0f} s left")

    def end(self) -> None:
        """All columns have answered."""
        self._line.clear()
