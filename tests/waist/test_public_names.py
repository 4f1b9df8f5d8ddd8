"""The public names: one list, told three times alike, cheap to import."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import customize

SOURCE = Path(customize.__file__)
HEAVY = ("torch", "transformers", "numpy", "attrs", "pluggy", "rich", "click", "yaml", "tokenizers")


def _typed_names() -> list[str]:
    tree = ast.parse(SOURCE.read_text())
    block = next(
        n for n in tree.body if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING"
    )
    return [a.asname for n in block.body if isinstance(n, ast.ImportFrom) for a in n.names]  # type: ignore[misc]


def test_the_list_the_table_and_the_types_are_the_same() -> None:
    assert sorted(customize.__all__) == sorted(customize._HOMES) == sorted(_typed_names())


def test_the_types_come_from_where_the_table_says() -> None:
    tree = ast.parse(SOURCE.read_text())
    homes = {
        a.asname: n.module
        for n in ast.walk(tree)
        if isinstance(n, ast.ImportFrom)
        for a in n.names
        if a.asname
    }
    assert homes == customize._HOMES


@pytest.mark.parametrize("name", customize.__all__)
def test_every_name_can_be_imported(name: str) -> None:
    assert getattr(customize, name) is not None


def test_no_public_name_is_a_module() -> None:
    modules = {p.stem for p in SOURCE.parent.iterdir()}
    assert not modules & set(customize.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        customize.trian  # noqa: B018


def test_importing_costs_little_and_brings_nothing_heavy() -> None:
    code = (
        "import sys, time; t = time.process_time(); import customize;"
        "print(time.process_time() - t);"
        f"print([m for m in {HEAVY!r} if m in sys.modules])"
    )
    command = [sys.executable, "-c", code]
    outs = [
        subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
        for _ in range(3)
    ]
    assert {heavy for _, heavy in outs} == {"[]"}
    assert min(float(seconds) for seconds, _ in outs) < 0.02  # the best: other load matters not
