"""Rules about what is not installed."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from types import ModuleType

from customize._errors import MissingDependency
from customize.testing.expecting import expect
from customize.testing.model_rules.subject import ModelSubject
from customize.testing.rules import NotApplicable, RuleBroken
from customize.testing.subject import cache_at

_NOT_PACKAGES = frozenset(sys.stdlib_module_names) | {"customize"}


def check_missing_package_is_told(subject: ModelSubject) -> None:
    """Where a package it looks for is not installed it raises MissingDependency, and the message
    has the line that installs it.
    """
    with _looking() as asked:
        subject.fetch_anew()
    own = type(subject.source).__module__.partition(".")[0]
    wanted = sorted(set(asked.names) - _NOT_PACKAGES - {own})
    if not wanted:
        raise NotApplicable("looks for no package")
    for name in wanted:
        _expect_told(subject, name)


def _expect_told(subject: ModelSubject, name: str) -> None:
    try:
        with _hidden(name), cache_at(subject.folder()):
            subject.source.fetch()
    except MissingDependency as error:
        expect("pip install" in str(error), f"without {name}: no line installs it: {error}")
    except Exception as error:  # whatever the source lets through
        raise RuleBroken(f"without {name}: {type(error).__name__}: {error}") from error


class _Looking:
    """A finder that finds nothing, and notes the packages that are looked for.

    Those that were imported before are not: what everything needs is among them.
    """

    def __init__(self) -> None:
        self.names: list[str] = []

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        self.names.append(name.partition(".")[0])
        return None


@contextmanager
def _looking() -> Iterator[_Looking]:
    finder = _Looking()
    sys.meta_path.insert(0, finder)
    try:
        yield finder
    finally:
        sys.meta_path.remove(finder)


@contextmanager
def _hidden(name: str) -> Iterator[None]:
    """As if the package were not installed: None in its place ends every import of it."""
    inside = [m for m in sys.modules if m.partition(".")[0] == name]
    before = {module: sys.modules.pop(module) for module in inside}
    sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[name]
        sys.modules.update(before)
