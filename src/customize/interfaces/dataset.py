"""Datasets: rows by number. Knows neither where they come from nor how they are rendered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Protocol, runtime_checkable

Kind = Literal["chat", "preference", "prompt", "documents"]

# One row: JSON values only. "chat" has ``messages`` (and ``tools``, ``documents``, ``weight``),
# "documents" has ``id`` and ``text`` (and ``tags``, who may see it, and ``headings``).
Row = Mapping[str, Any]


@runtime_checkable
class Dataset(Protocol):
    """Rows that can be counted, taken by number, and recognised again."""

    @property
    def kind(self) -> str:
        """``chat``, ``preference``, ``prompt`` or ``documents``."""

    @property
    def fingerprint(self) -> str:
        """sha256 of the content."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Row: ...
