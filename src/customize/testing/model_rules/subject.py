"""A model source under test. Knows no rule."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from customize._errors import MissingDependency
from customize.interfaces.model import ModelSource
from customize.testing.subject import Subject


class ModelSubject(Subject):
    """What makes a model's folder."""

    kind: ClassVar[str] = "model"

    def __init__(self, name: str, source: ModelSource) -> None:
        super().__init__(name)
        self.source = source
        self._fetched: Path | None = None

    def fetch(self) -> Path:
        """The folder, as one gets it where nothing is cached but by rules before.

        Raises:
            NotApplicable: what holds its weights is not installed.
        """
        from customize.testing.rules import NotApplicable

        try:
            return self.source.fetch()
        except MissingDependency as error:
            raise NotApplicable(str(error)) from error
