"""A reader under test, with a file to read. Knows no rule."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from customize.testing.subject import Subject

Rows = list[Mapping[str, Any]]  # JSON values


class ReaderSubject(Subject):
    """A function from a path to rows."""

    kind: ClassVar[str] = "reader"

    def __init__(
        self, name: str, read: Callable[[Path], Iterable[Mapping[str, Any]]], file: Path | None
    ) -> None:
        super().__init__(name)
        self._read = read
        self._file = file

    def obstacle(self) -> str | None:
        return "needs a file: pass on='a file it reads'" if self._file is None else None

    def copy(self) -> Path:
        """The file, in a folder of its own."""
        assert self._file is not None, "the obstacle was asked for"
        return Path(shutil.copy(self._file, self.folder()))

    def read(self, file: Path) -> Rows:
        """Every row."""
        return list(self._read(file))
