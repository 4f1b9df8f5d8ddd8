"""An index under test, and the chunks that are put into it. Knows no rule."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import ClassVar

from customize.interfaces.index import Chunk, Index
from customize.testing.subject import Subject

_TEXTS = (
    ("a.md", 0, ("Shop", "Opening"), (), "We open at nine and close at eleven."),
    ("a.md", 37, ("Shop", "Menu"), (), "The margherita has basil, basil and basil."),
    ("b.md", 0, (), (), "Basil is a herb of which many a sauce of many a cook is made."),
    ("b.md", 61, (), ("hr",), "The cook of the margherita earns a salary."),
    ("c.md", 0, (), ("board", "hr"), "Nobody but the board knows the takeover."),
)
CHUNKS = tuple(
    Chunk(document, text, (start, start + len(text)), heading, frozenset(tags))
    for document, start, heading, tags, text in _TEXTS
)


class IndexSubject(Subject):
    """A kind of index, made anew for each rule."""

    kind: ClassVar[str] = "index"

    def __init__(self, name: str, make: Callable[[], Index]) -> None:
        super().__init__(name)
        self._make = make

    def index(self, chunks: Iterable[Chunk] = CHUNKS) -> Index:
        """A new one, of these chunks."""
        index = self._make()
        index.add(chunks)
        return index

    def again(self, index: Index) -> Index:
        """The same, saved and loaded."""
        folder = self.folder() / "index"
        index.save(folder)
        return index.load(folder)


def ids(chunks: Iterable[Chunk]) -> list[str]:
    """Of chunks, sorted."""
    return sorted(chunk.id for chunk in chunks)


def contents(folder: Path) -> dict[str, bytes]:
    """Of every file under it, by its place there."""
    files = (file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}
