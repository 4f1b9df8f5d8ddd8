"""A data set under test. Knows no rule."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ClassVar

from customize.data.reading import read
from customize.interfaces.dataset import Dataset
from customize.testing.subject import Subject

_ROWS = 200


class DatasetSubject(Subject):
    """What makes a data set: a plugin's target, called anew for each rule that asks."""

    kind: ClassVar[str] = "dataset"

    def __init__(self, name: str, make: Callable[[], Any]) -> None:
        super().__init__(name)
        self._make = make

    @functools.cached_property
    def data(self) -> Dataset:
        """The data set itself."""
        return self.again()

    def again(self) -> Dataset:
        """The same data set, made once more; a path or rows are read as ``customize.read`` does."""
        made = self._make()
        return made if isinstance(made, Dataset) else read(made)

    @property
    def places(self) -> range:
        """Numbers of rows to look at: all, or so many over the whole length."""
        return range(0, len(self.data), max(1, len(self.data) // _ROWS))
