"""The examples for authors of plugins stay as short as they are said to be."""

from __future__ import annotations

from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples" / "third-party"


def lines(plugin: str) -> dict[str, int]:
    """Of each Python file that the plugin installs."""
    files = (EXAMPLES / plugin / "src").rglob("*.py")
    return {file.name: len(file.read_text("utf-8").splitlines()) for file in files}


@pytest.mark.parametrize(("plugin", "most"), [("acme-kto", 140), ("acme-mlx-like", 250)])
def test_all_that_a_plugin_installs_is_short(plugin: str, most: int) -> None:
    found = lines(plugin)
    assert {"_plugin.py", "__init__.py"} < set(found)
    assert sum(found.values()) <= most, found


def test_the_method_is_a_page() -> None:
    assert lines("acme-kto")["method.py"] <= 120
