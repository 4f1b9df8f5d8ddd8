"""The public names: one list, told three times alike, cheap to import."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import customize

SOURCE = Path(customize.__file__)


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


def test_importing_brings_a_few_modules_of_the_standard_library_and_no_more() -> None:
    """Counted, for seconds tell more of the machine: some 6 ms of processor time, on a slow one."""
    code = (
        "import sys; before = set(sys.modules); import customize;"
        "print(*sorted(set(sys.modules) - before))"
    )
    command = [sys.executable, "-c", code]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert {name for name in out if name.split(".")[0] not in sys.stdlib_module_names} == {
        "customize"
    }
    assert len(out) <= 4
