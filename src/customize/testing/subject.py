"""Subjects: what is held to rules. Knows no rule."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar


class Subject:
    """One thing under test, with a place on disk that goes when it does."""

    kind: ClassVar[str]

    def __init__(self, name: str) -> None:
        self.name = name
        self._root = Path(tempfile.mkdtemp(prefix="customize-conformance-"))
        weakref.finalize(self, shutil.rmtree, self._root, ignore_errors=True)

    @property
    def capabilities(self) -> frozenset[str]:
        """What it declares of itself: rules that need more are skipped."""
        return frozenset()

    def obstacle(self) -> str | None:
        """Why it cannot be tried here at all, or None."""
        return None

    @property
    def cache(self) -> Path:
        """What stands for the user's cache while rules run."""
        return self._root / "cache"

    def folder(self) -> Path:
        """A new empty folder."""
        return Path(tempfile.mkdtemp(dir=self._root))


@contextmanager
def cache_at(folder: Path) -> Iterator[None]:
    """The user's own cache is left alone, and what lies there helps nobody to pass."""
    before = os.environ.get("CUSTOMIZE_CACHE")
    os.environ["CUSTOMIZE_CACHE"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["CUSTOMIZE_CACHE"]
        else:
            os.environ["CUSTOMIZE_CACHE"] = before
