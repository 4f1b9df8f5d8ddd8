"""The model: a folder that is installed with this package."""

from __future__ import annotations

from pathlib import Path


class Example:
    """A random llama: put your own files into ``weights``, or fetch them here."""

    def fetch(self, dtype: str = "bfloat16") -> Path:
        """The folder; weights that are there already keep the dtype they have."""
        return Path(__file__).parent / "weights"
