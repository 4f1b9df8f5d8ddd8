"""``conformance``: one pytest test a rule. The only part of the kit that knows pytest."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import attrs

from customize._errors import OptionError
from customize.interfaces.backend import Backend
from customize.interfaces.dataset import Dataset, Row
from customize.interfaces.environment import Environment, Function
from customize.interfaces.exporter import Exporter
from customize.interfaces.index import Encoder, Index
from customize.interfaces.method import Method
from customize.interfaces.model import ModelSource
from customize.interfaces.observer import Observer
from customize.interfaces.scorer import Score, Scorer
from customize.testing.holding import Outcome, check_excuses, hold
from customize.testing.rules import Rule, rules_of
from customize.testing.subject import Subject
from customize.testing.subjects import candidates

Data = Dataset | Sequence[Row] | Path | Callable[[], object]
Read = Callable[[Path], Iterable[Row]]
Judge = type[Scorer] | Callable[[str, Row], Score]


@attrs.frozen
class Case:
    """One rule for one subject."""

    label: str
    rule: Rule
    subject: Callable[[], Subject]


def conformance(
    *,
    backend: str | Backend | None = None,
    method: str | Method | None = None,
    exporter: str | Exporter | None = None,
    model: str | ModelSource | None = None,
    dataset: str | Data | None = None,
    reader: str | Read | None = None,
    observer: str | Observer | None = None,
    scorer: str | Scorer | Judge | None = None,
    environment: str | Environment | Function | None = None,
    index: str | Callable[[], Index] | None = None,
    encoder: str | Encoder | None = None,
    plugin: str | None = None,
    on: object = None,
    known_failures: Mapping[str, str] | None = None,
) -> Callable[[Case], None]:
    """``test_x = conformance(…)`` is one pytest test for each rule the subject must keep.

    A subject is an instance or a name, of an index a class; ``plugin`` is the module of an entry
    point, and all it offers. ``on`` is what a subject is tried on where the kit's own will not do:
    a backend's model, a method's, a scorer's or an environment's rows, an exporter's backend; a
    reader needs a file. For a plugin it is a mapping from names it offers.
    ``known_failures`` are rules that are not kept yet, each with its reason; they must fail.

    Raises:
        OptionError: not one subject is given, or ``known_failures`` names no rule.
    """
    import pytest

    given = {
        "backend": backend,
        "method": method,
        "exporter": exporter,
        "model": model,
        "dataset": dataset,
        "reader": reader,
        "observer": observer,
        "scorer": scorer,
        "environment": environment,
        "index": index,
        "encoder": encoder,
        "plugin": plugin,
    }
    chosen = [(kind, subject) for kind, subject in given.items() if subject is not None]
    if len(chosen) != 1:
        raise OptionError(f"conformance takes one of {', '.join(given)} (got {len(chosen)})")
    cases = cases_of(*chosen[0], on)
    excuses = dict(known_failures or {})
    check_excuses(excuses, [case.rule for case in cases])

    @pytest.mark.parametrize("case", cases, ids=[f"{c.label}-{c.rule.name}" for c in cases])
    def test(case: Case) -> None:
        outcome = hold(case.subject(), case.rule, excuses.get(case.rule.name))
        if outcome.status == "skipped":
            pytest.skip(outcome.reason)
        if outcome.status == "known":
            pytest.xfail(outcome.reason)
        if outcome.error is not None:
            raise outcome.error
        assert outcome.status == "passed", outcome.reason

    return test


def outcomes(kind: str, given: object, on: object = None) -> list[Outcome]:
    """How a subject does by each rule, without pytest: ``python -m customize.testing`` prints it.

    kind: ``"backend"``, ``"method"`` and so on. given: a name or an instance, as in `conformance`.
    """
    return [hold(case.subject(), case.rule) for case in cases_of(kind, given, on)]


def cases_of(kind: str, given: object, on: object = None) -> list[Case]:
    """Each rule for each subject, which is made when the first of its rules is held."""
    cases = []
    for candidate in candidates(kind, given, on):
        subject = functools.cache(candidate.make)
        cases += [Case(candidate.label, rule, subject) for rule in rules_of(candidate.kind)]
    return cases
