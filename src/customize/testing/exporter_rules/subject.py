"""An exporter under test. Knows no rule."""

from __future__ import annotations

from typing import ClassVar

from customize.interfaces.backend import Backend
from customize.interfaces.exporter import Exporter
from customize.testing.subject import Subject


class ExporterSubject(Subject):
    """An exporter, and a session for it to export."""

    kind: ClassVar[str] = "exporter"

    def __init__(self, name: str, exporter: Exporter, backend: Backend | None = None) -> None:
        super().__init__(name)
        self.exporter = exporter
        self._backend = backend
