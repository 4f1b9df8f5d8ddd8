"""A model source under test. Knows no rule."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from customize._errors import MissingDependency
from customize.interfaces.model import ModelSource
from customize.testing.rules import NotApplicable
from customize.testing.subject import Subject, cache_at


class ModelSubject(Subject):
    """What makes a model's folder."""

    kind: ClassVar[str] = "model"

    def __init__(self, name: str, source: ModelSource) -> None:
        super().__init__(name)
        self.source = source

    def fetch(self) -> Path:
        """The folder, cached by whichever rule asked first.

        Raises:
            NotApplicable: what holds its weights is not installed.
        """
        try:
            return self.source.fetch()
        except MissingDependency as error:
            raise NotApplicable(str(error)) from error

    def fetch_anew(self) -> Path:
        """The folder, where nothing is cached."""
        with cache_at(self.folder()):
            return self.fetch()
