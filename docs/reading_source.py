"""Signatures and docstrings as the source has them. Knows nothing of pages.

Read from the syntax tree, not from live objects: the text is then the same on every version of
Python and of the libraries whose types are named.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from importlib import import_module

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Source:
    """One public name: where it is defined, found through imports."""

    def __init__(self, module: str, name: str) -> None:
        self.name = name
        self._lines, self._node = defined(module, name)

    def signature(self) -> str:
        """``name(arguments) -> result``, a class with its fields, or what an alias stands for."""
        node = self._node
        if isinstance(node, Function):
            return call(node)
        if isinstance(node, ast.ClassDef):
            return _class(node)
        return ast.unparse(node)

    def summary(self) -> str:
        """The docstring's first paragraph; of an alias the comment above it."""
        if isinstance(self._node, (Function, ast.ClassDef)):
            return first_paragraph(ast.get_docstring(self._node))
        above = self._node.lineno - 2
        comments: list[str] = []
        while self._lines[above].startswith("#"):
            comments.insert(0, self._lines[above].lstrip("# "))
            above -= 1
        return " ".join(comments)

    def members(self) -> Iterator[tuple[str, str]]:
        """Signature and summary of a class's public methods; of overloads the last."""
        if not isinstance(self._node, ast.ClassDef):
            return
        functions = [n for n in self._node.body if isinstance(n, Function)]
        by_name = {f.name: f for f in functions if not f.name.startswith("_")}
        for function in by_name.values():
            told = call(function)
            if any(ast.unparse(d).endswith("property") for d in function.decorator_list):
                told = f"{function.name}: {ast.unparse(function.returns)}"  # type: ignore[arg-type]
            yield told, first_paragraph(ast.get_docstring(function))


def first_paragraph(docstring: str | None, number: int = 0) -> str:
    """A paragraph of a docstring, the first unless told, on one line."""
    paragraphs = inspect.cleandoc(docstring or "").split("\n\n")
    return " ".join(paragraphs[number].split())


def prose(text: str) -> str:
    """Docstring markup as Markdown."""
    return text.replace("``", "`").replace("<", "&lt;").replace(">", "&gt;")


def defined(module: str, name: str) -> tuple[list[str], ast.stmt]:
    """The lines of the module that defines a name, and the statement; imports are followed."""
    lines = inspect.getsource(import_module(module)).splitlines()
    for node in ast.parse("\n".join(lines)).body:
        if isinstance(node, ast.ImportFrom) and name in [a.asname or a.name for a in node.names]:
            return defined(node.module or "", name)
        if name in _names_of(node):
            return lines, node
    raise LookupError(f"{module} does not define {name}")


def _names_of(node: ast.stmt) -> list[str]:
    if isinstance(node, (Function, ast.ClassDef)):
        return [node.name]
    if isinstance(node, ast.Assign):
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    return []


def call(node: Function) -> str:
    """``name(arguments) -> result``, without ``self``."""
    arguments = node.args
    first = arguments.args[0].arg if arguments.args else ""
    if first in ("self", "cls"):
        arguments = ast.arguments(
            arguments.posonlyargs,
            arguments.args[1:],
            arguments.vararg,
            arguments.kwonlyargs,
            arguments.kw_defaults,
            arguments.kwarg,
            arguments.defaults,
        )
    result = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"{node.name}({ast.unparse(arguments)}){result}"


def _class(node: ast.ClassDef) -> str:
    bases = [b for b in (ast.unparse(base) for base in node.bases) if not b.startswith("Generic")]
    inherits = f"({', '.join(bases)})" if bases else ""
    made = [f for f in node.body if isinstance(f, Function) and f.name == "__init__"]
    if made:
        return f"class {node.name}{inherits}\n{call(made[0]).replace('__init__', node.name)}"
    fields = [
        f"    {f.target.id}: {ast.unparse(f.annotation)}"
        for f in node.body
        if isinstance(f, ast.AnnAssign) and isinstance(f.target, ast.Name)
    ]
    return "\n".join([f"class {node.name}{inherits}", *fields])
