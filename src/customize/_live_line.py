"""A line that says how far work is: written over on a terminal, a plain line elsewhere."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TextIO


class LiveLine:
    """On standard error, unless told otherwise."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stderr if stream is None else stream
        self.is_live = self._stream.isatty()

    def show(self, text: str) -> None:
        """On a terminal it is there until the next one."""
        self._write(f"\r\x1b[2K{text[:79]}" if self.is_live else f"{text}\n")

    def say(self, text: str) -> None:
        """A line that stays."""
        self._write(f"\r\x1b[2K{text}\n" if self.is_live else f"{text}\n")

    def clear(self) -> None:
        """Take away what was shown last."""
        if self.is_live:
            self._write("\r\x1b[2K")

    def __enter__(self) -> LiveLine:
        return self

    def __exit__(self, *error: object) -> None:
        self.clear()

    def _write(self, text: str) -> None:
        with suppress(OSError, ValueError):  # a terminal that was closed must not end the work
            self._stream.write(text)
            self._stream.flush()


def say(text: str) -> None:
    """Tell a person a line, on standard error as it is now; a line of progress gives way to it."""
    LiveLine().say(text)
