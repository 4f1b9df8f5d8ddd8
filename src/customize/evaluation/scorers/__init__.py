"""Scorers, by the names that ``expect`` and ``--scorer`` use: our own and plugins' alike.

Knows how they are given, and not what they measure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs

from customize._errors import OptionError
from customize._options import options_of
from customize._structuring import Faults, structure
from customize.interfaces.dataset import Row
from customize.interfaces.scorer import Answer, Score, Scorer
from customize.plugins import load

# (the answer's text, the row) to a score: the plainest scorer.
Function = Callable[[str, Row], Score]


@attrs.frozen
class FunctionScorer(Scorer):
    """A plain function as a scorer."""

    function: Function

    def score(self, answer: Answer, row: Row) -> Score:
        return self.function(answer.text, row)


def make_scorer(name: str, given: object = attrs.NOTHING) -> Scorer:
    """A scorer by name; ``given`` is a mapping of its options, or just its first option's value.

    Raises:
        UnknownName: nobody provides it, or more than one does.
        OptionError: what is given is wrong.
    """
    target = load("scorer", name)
    if not (isinstance(target, type) and issubclass(target, Scorer)):
        return FunctionScorer(target)
    known = list(options_of(target))
    fields = [option.name for option in known]
    needs_one = bool(known) and known[0].default is attrs.NOTHING
    if given is attrs.NOTHING or (given == {} and not needs_one):
        values: Mapping[str, Any] = {}
    elif isinstance(given, Mapping) and given and set(given) <= set(fields):
        values = given
    elif fields:
        values = {fields[0]: given}
    elif given in (True, None):
        values = {}
    else:
        raise OptionError(f"{name} has no options: write true (got {given!r})")
    return _structured(target, values, name)


def as_scorers(
    given: Mapping[str, object] | list[object] | tuple[object, ...],
) -> dict[str, Scorer]:
    """Scorers by name, from names with options, or from a list of names, scorers and functions."""
    if isinstance(given, Mapping):
        return {
            name: make_scorer(name) if value in (None, True) else make_scorer(name, value)
            for name, value in given.items()
        }
    return dict(_one(each) for each in given)


def _one(each: Any) -> tuple[str, Scorer]:
    if isinstance(each, str):
        return each, make_scorer(each)
    if isinstance(each, Scorer):
        return type(each).__name__.lower(), each
    if callable(each):
        return str(getattr(each, "__name__", type(each).__name__)), FunctionScorer(each)
    raise OptionError(f"a scorer is a name, a Scorer or a function(text, row) (got {each!r})")


def _structured(target: type[Scorer], values: Mapping[str, Any], name: str) -> Scorer:
    faults = Faults()
    made = structure(target, values, faults)
    faults.raise_if_any(name)
    assert made is not None
    return made
