"""Writes ``signatures.txt``, what plugins rely on: ``write_signatures.py [--check]``.

Every public name of ``customize`` and ``customize.testing``, and every hook: functions with their
arguments, classes with their constructors, inherited members and what is abstract. Read from the
source text, so that it is the same on every version of Python and of attrs.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

import customize
import customize.testing
from customize.plugins import hooks

HERE = Path(__file__).parent
FILE = HERE / "signatures.txt"
sys.path.append(str(HERE.parents[1] / "docs"))

from reading_source import Function, call, defined  # noqa: E402

WHAT_TO_DO = """
Lines with + alone were added, which breaks nobody: run
    python tests/downstream_compat/write_signatures.py
and commit signatures.txt. A line with - was taken away or changed, and plugins that are published
already use it: keep the old way for one minor release, with a warning (CONTRIBUTING.md, "Changing
what plugins use"), or, where nobody can be hurt, say so in changelog.d/; then run the same.
"""
# Parts of a field that are no part of the constructor's signature.
UNSEEN = {"help", "validator", "converter", "metadata", "repr", "eq"}
SPECIAL = {"__init__", "__call__", "__len__", "__getitem__", "__iter__", "__enter__", "__exit__"}


def signatures() -> str:
    """The text of the file."""
    return "\n".join(
        [
            "What plugins rely on. Written by write_signatures.py, which says what to do.",
            *_section("customize", customize._HOMES),
            *_section("customize.testing", _testing()),
            *_section("hooks", {n: hooks.__name__ for n in vars(hooks) if n.startswith("custom")}),
            "",
        ]
    )


def difference(old: str, new: str) -> str:
    """What changed and what to do, or nothing."""
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), "was", "is", lineterm="", n=1)
    changed = "\n".join(lines)
    return changed and f"{changed}\n{WHAT_TO_DO}"


def _testing() -> dict[str, str]:
    """The public names of ``customize.testing``, and the modules they come from."""
    tree = ast.parse(inspect.getsource(customize.testing))
    return {
        alias.asname: node.module or ""
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname == alias.name
    }


def _section(title: str, homes: dict[str, str]) -> Iterator[str]:
    yield from ("", f"== {title}")
    for name, home in sorted(homes.items()):
        yield from ("", *_entry(home, name))


def _entry(home: str, name: str) -> Iterator[str]:
    node = defined(home, name)[1]
    if isinstance(node, Function):
        yield call(node)
    elif isinstance(node, ast.ClassDef):
        yield from _class(getattr(sys.modules[home], name), node)
    else:
        yield ast.unparse(node)


def _class(cls: type, node: ast.ClassDef) -> Iterator[str]:
    yield from (f"@{ast.unparse(decorator)}" for decorator in node.decorator_list)
    bases = ", ".join(ast.unparse(base) for base in node.bases)
    yield f"class {cls.__name__}" + (f"({bases})" if bases else "")
    members: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if base.__module__.partition(".")[0] == "customize":
            members.update(_members(base))
    yield from (f"    {text}" for text in members.values())


def _members(cls: type) -> Iterator[tuple[str, str]]:
    node = defined(cls.__module__, cls.__name__)[1]
    assert isinstance(node, ast.ClassDef)
    for part in node.body:
        if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
            name, text = part.target.id, _field(part)
        elif isinstance(part, Function):
            name, text = part.name, _method(part)
        else:
            continue
        if name in SPECIAL or not name.startswith("_"):
            yield name, text


def _field(node: ast.AnnAssign) -> str:
    declared = f"{ast.unparse(node.target)}: {ast.unparse(node.annotation)}"
    if node.value is None:
        return declared
    if isinstance(node.value, ast.Call):
        node.value.keywords = [k for k in node.value.keywords if k.arg not in UNSEEN]
        if not node.value.args and not node.value.keywords:
            return declared
    return f"{declared} = {ast.unparse(node.value)}"


def _method(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    marks = [ast.unparse(decorator) for decorator in node.decorator_list]
    return " ".join([*(f"@{mark}" for mark in marks), call(node)])


def main() -> None:
    """Write the file, or with ``--check`` say what is not as it says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="Change nothing.")
    if not parser.parse_args().check:
        FILE.write_text(signatures(), "utf-8")
    elif changed := difference(FILE.read_text("utf-8"), signatures()):
        sys.exit(changed)


if __name__ == "__main__":
    main()
