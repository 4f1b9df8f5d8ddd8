"""A document's text as it is put together from pieces. Knows no format."""

from __future__ import annotations

import re

from customize.interfaces.index import Heading

_SPACES = re.compile(r"\s+")


class Draft:
    """Text in blocks, an empty line between two; runs of spaces in one are one space."""

    def __init__(self) -> None:
        self.headings: list[Heading] = []
        self._blocks: list[str] = []
        self._length = 0
        self._pieces: list[str] = []

    def say(self, piece: str) -> None:
        """Add to the block that is open."""
        self._pieces.append(piece)

    def end_block(self) -> str:
        """Close the block, and return its text; an empty one is nothing."""
        block = _SPACES.sub(" ", "".join(self._pieces)).strip()
        self._pieces.clear()
        if block:
            self.add_block(block)
        return block

    def add_block(self, block: str) -> None:
        """Add a whole block as it is."""
        self._length += len(block) + 2
        self._blocks.append(block)

    def end_heading(self, level: int) -> None:
        """Close the block, which is a heading."""
        start = self._length
        if title := self.end_block():
            self.headings.append(Heading(level, title, start))

    def head(self, level: int, title: str) -> None:
        """What follows stands under a title that is not in the text."""
        self.headings.append(Heading(level, title, self._length))

    @property
    def text(self) -> str:
        """All blocks."""
        return "\n\n".join(self._blocks)
