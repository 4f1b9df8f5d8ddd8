"""What a person sees while columns answer: one live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TextIO

_PLAIN_EVERY_S = 10.0


class AnswerProgress:
    """Answers so far and of all, and the time left."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._live = self._stream.isatty()
        self._said = time.monotonic()

    def begin(self, column: str, total: int) -> None:
        """A column begins to answer."""
        self._column, self._total, self._done = column, total, 0
        self._begun = time.monotonic()

    def tell(self, num_answers: int) -> None:
        """So many more answers are there."""
        self._done += num_answers
        now = time.monotonic()
        if not self._live and now - self._said < _PLAIN_EVERY_S:
            return
        self._said = now
        left = (now - self._begun) / max(self._done, 1) * (self._total - self._done)
        line = f"{self._column}: {self._done}/{self._total} answers  {left:.0f} s left"
        self._stream.write(f"\r\x1b[2K{line[:79]}" if self._live else f"{line}\n")
        self._stream.flush()

    def end(self) -> None:
        """All columns have answered."""
        if self._live:
            self._stream.write("\r\x1b[2K")
            self._stream.flush()
