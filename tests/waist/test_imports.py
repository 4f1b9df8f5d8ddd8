"""Imports point one way, and plugins import public names only."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import customize

SOURCE = Path(customize.__file__).parent
ORDER = [
    "values",
    "interfaces",
    "plugins",
    "models",
    "data",
    "rollouts",
    "retrieval",
    "training",
    "evaluation",
    "packaging",
    "serving",
    "runs",
    "planning",
    "doctor",
    "traits",
    "scaffold",
    "cli",
]
TEMPLATE = SOURCE / "scaffold" / "template"  # a distribution of its own
FILES = sorted(f for f in SOURCE.rglob("*.py") if TEMPLATE not in f.parents)


def stage_of(module: str) -> str:
    parts = module.split(".")
    if len(parts) == 1 or parts[1].startswith("_"):
        return "values"
    return parts[1]


def imported(file: Path) -> Iterator[str]:
    """Modules of ours that are imported when the file is."""
    for node in ast.parse(file.read_text("utf-8")).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("customize"):
            yield node.module or ""


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(SOURCE)))
def test_imports_point_one_way(file: Path) -> None:
    module = ".".join(("customize", *file.relative_to(SOURCE).with_suffix("").parts))
    own = stage_of(module)
    if own in ("testing", "values"):
        pytest.skip("values are below every stage, and testing is beside them")
    wrong = [m for m in imported(file) if ORDER.index(stage_of(m)) > ORDER.index(own)]
    assert not wrong


PLUGINS = SOURCE.parent.parent / "plugins"


@pytest.mark.parametrize(
    "file", sorted(PLUGINS.rglob("src/**/*.py")), ids=lambda f: str(f.relative_to(PLUGINS))
)
def test_a_plugin_imports_public_names_only(file: Path) -> None:
    tree = ast.parse(file.read_text("utf-8"))
    reached = [
        node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        and (node.module or "").startswith("customize.")
        and node.module != "customize.testing"
    ]
    assert not reached
