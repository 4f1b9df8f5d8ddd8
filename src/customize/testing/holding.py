"""Holding a subject to rules, and telling how it did. Knows no particular rule."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Literal

import attrs

from customize._errors import OptionError
from customize.testing.rules import NotApplicable, Rule
from customize.testing.subject import Subject, cache_at

Status = Literal["passed", "failed", "known", "skipped"]


@attrs.frozen
class Outcome:
    """How a subject did by one rule.

    status: ``known`` is a failure that was said beforehand. reason: of all but ``passed``.
    """

    subject: str
    rule: str
    status: Status
    reason: str
    seconds: float
    error: Exception | None = attrs.field(default=None, repr=False, eq=False)


def hold(subject: Subject, rule: Rule, excuse: str | None = None) -> Outcome:
    """Hold a subject to a rule. ``excuse`` is why it is known to fail; then it must."""
    began = time.perf_counter()
    status, reason, error = _held(subject, rule)
    if excuse is not None and status == "failed":
        status, reason, error = "known", excuse, None
    elif excuse is not None and status == "passed":
        status = "failed"
        reason = f"passes: take {rule.name} out of known_failures (there: {excuse})"
    label = f"{subject.kind} {subject.name}"
    return Outcome(label, rule.name, status, reason, time.perf_counter() - began, error)


def _held(subject: Subject, rule: Rule) -> tuple[Status, str, Exception | None]:
    try:
        with cache_at(subject.cache):
            _check(subject, rule)
    except NotApplicable as why:
        return "skipped", str(why), None
    except Exception as error:  # whatever the subject raises
        return "failed", _told(error), error
    return "passed", "", None


def _check(subject: Subject, rule: Rule) -> None:
    if (obstacle := subject.obstacle()) is not None:
        raise NotApplicable(obstacle)
    if undeclared := rule.needs - subject.capabilities:
        raise NotApplicable(f"does not declare {', '.join(sorted(undeclared))}")
    rule.check(subject)


def _told(error: Exception) -> str:
    said = str(error) or "no message"
    return said if isinstance(error, AssertionError) else f"{type(error).__name__}: {said}"


def check_excuses(known_failures: Mapping[str, str], rules: Sequence[Rule]) -> None:
    """Raises OptionError when a known failure names no rule, or gives no reason."""
    names = [rule.name for rule in rules]
    for name, reason in known_failures.items():
        if name not in names:
            near = get_close_matches(name, names, n=1)
            meant = f"did you mean {near[0]!r}?" if near else f"rules are {', '.join(names)}"
            raise OptionError(f"known_failures: there is no rule {name!r}; {meant}")
        if not reason.strip():
            raise OptionError(f"known_failures: say why {name} fails")


def table(outcomes: Sequence[Outcome]) -> str:
    """One line a rule, then the count."""
    width = max((len(o.rule) for o in outcomes), default=0)
    lines = []
    subject = None
    for outcome in outcomes:
        if outcome.subject != subject:
            subject = outcome.subject
            lines.append(subject)
        line = f"  {outcome.status:7}  {outcome.rule:{width}}  {outcome.reason}"
        lines.append(line.rstrip())
    return "\n".join([*lines, _message(outcomes)])


def report(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """As JSON values; ``badge`` is what shields.io takes for an endpoint badge."""
    from customize import __version__

    failed = _count(outcomes, "failed")
    return {
        "schema": "customize-conformance/1",
        "customize": __version__,
        **{status: _count(outcomes, status) for status in ("passed", "failed", "known", "skipped")},
        "outcomes": [
            {
                "subject": o.subject,
                "rule": o.rule,
                "status": o.status,
                "reason": o.reason,
                "seconds": round(o.seconds, 3),
            }
            for o in outcomes
        ],
        "badge": {
            "schemaVersion": 1,
            "label": "customize conformance",
            "message": _message(outcomes),
            "color": "red" if failed else "brightgreen",
        },
    }


def _message(outcomes: Sequence[Outcome]) -> str:
    counts = {s: _count(outcomes, s) for s in ("failed", "known", "skipped")}
    told = [f"{_count(outcomes, 'passed')} passed"]
    return ", ".join(told + [f"{n} {status}" for status, n in counts.items() if n])


def _count(outcomes: Sequence[Outcome], status: str) -> int:
    return sum(outcome.status == status for outcome in outcomes)
