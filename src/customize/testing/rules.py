"""Rules: functions whose docstring is the rule. Knows no particular rule, and no pytest."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, TypeVar

import attrs

Check = Callable[[Any], None]  # takes the subject of its kind
C = TypeVar("C", bound=Check)

KINDS = (
    *("backend", "method", "exporter", "model", "dataset", "reader", "observer", "scorer"),
    *("environment", "index", "encoder", "plugin"),
)

_NEEDS: dict[Check, frozenset[str]] = {}


class RuleBroken(AssertionError):
    """The subject does not keep the rule; the message says what was found."""


class NotApplicable(Exception):
    """The rule says nothing about this subject; the message says why."""


@attrs.frozen
class Rule:
    """One rule. needs: what a subject must declare for it to be held to the rule."""

    kind: str
    check: Check
    needs: frozenset[str]

    @property
    def name(self) -> str:
        return self.check.__name__

    @property
    def text(self) -> str:
        """The rule itself, in words."""
        return inspect.cleandoc(self.check.__doc__ or "")


def needs(*capabilities: str) -> Callable[[C], C]:
    """Hold only those to the rule who declare all of these."""

    def mark(check: C) -> C:
        _NEEDS[check] = frozenset(capabilities)
        return check

    return mark


def rules_of(kind: str) -> tuple[Rule, ...]:
    """Every rule of a kind, in the order they are written."""
    return tuple(_found(kind))


def _found(kind: str) -> Iterator[Rule]:
    package = import_module(f"customize.testing.{kind}_rules")
    for name in package.MODULES:
        module = import_module(f"{package.__name__}.{name}")
        for value in vars(module).values():
            if inspect.isfunction(value) and _is_rule(value, module.__name__):
                yield Rule(kind, value, _NEEDS.get(value, frozenset()))


def _is_rule(function: Check, module: str) -> bool:
    return function.__name__.startswith("check_") and function.__module__ == module
