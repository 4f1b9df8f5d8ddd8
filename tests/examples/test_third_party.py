"""The examples for authors of plugins stay as short as they are said to be."""

from __future__ import annotations

from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples" / "third-party"


@pytest.mark.parametrize(("name", "most"), [("acme-mlx-like", 250)])
def test_all_that_a_plugin_installs_is_short(name: str, most: int) -> None:
    files = {p.name: p.read_text("utf-8") for p in (EXAMPLES / name / "src").rglob("*.py")}
    lines = {file: len(text.splitlines()) for file, text in files.items()}
    assert "_plugin.py" in lines
    assert sum(lines.values()) <= most, lines
