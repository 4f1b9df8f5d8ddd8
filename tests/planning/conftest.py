"""The recipe that is planned, and how much room there is for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from customize.testing import write_tiny_model


@pytest.fixture
def write_rows(tmp_path: Path) -> Callable[[int], Path]:
    """Writes so many rows into the recipe's file, which it returns."""

    def write(num: int) -> Path:
        lines = [
            json.dumps({"prompt": f"ask {n} " + "more " * (n % 5), "completion": "yes"})
            for n in range(num)
        ]
        (tmp_path / "rows.jsonl").write_text("\n".join(lines) + "\n")
        return tmp_path / "rows.jsonl"

    return write


@pytest.fixture
def recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_rows: Callable[[int], Path]
) -> Mapping[str, Any]:
    """The keys of a recipe on the tiny model, over rows of two lengths."""
    monkeypatch.setenv("CUSTOMIZE_CACHE", str(tmp_path / "cache"))
    write_tiny_model(tmp_path / "tiny")
    rows = write_rows(12)
    return {
        "model": str(tmp_path / "tiny"),
        "data": str(rows),
        "to": str(tmp_path / "run"),
        "backend": "cpu",
        "backend_options": {"dtype": "float32", "threads": 1},
        "options": {"epochs": 1.0, "batch_size": 4},
    }


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How many bytes are free, for a test to change."""
    free = [float("inf")]
    cpu = pytest.importorskip("customize_torch.backend").CPU
    monkeypatch.setattr(cpu, "available_bytes", lambda self: free[0])
    return free
