"""Exporters: put what was trained into a form that others serve. Know no method."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import attrs

from customize.interfaces.backend import Engine, Session
from customize.interfaces.model import ModelFolder


@attrs.frozen
class Exportable:
    """A finished customization and what its export is compared on.

    prompts: message lists, held out from training where there were such rows.
    card: the model card's text.
    """

    model: ModelFolder
    engine: Engine
    session: Session
    prompts: Sequence[Sequence[Mapping[str, Any]]]
    card: str


class Exporter(ABC):
    """Writes a folder and proves that it answers as the session does; its fields are options."""

    serves: ClassVar[str]

    @abstractmethod
    def export(self, source: Exportable, to: Path) -> Mapping[str, float]:
        """Write the folder ``to``, which must not exist, and return the parity figures.

        Raises:
            ExportError: it cannot be made, or ``to`` exists.
            ParityError: it answers differently; no folder is left.
        """
