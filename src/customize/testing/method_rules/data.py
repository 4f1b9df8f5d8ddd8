"""Rules about the data a method is given."""

from __future__ import annotations

import copy
from functools import partial

from customize._errors import DataError
from customize.testing.expecting import expect, expect_raises
from customize.testing.method_rules.subject import GivenRows, MethodSubject, bundled_rows
from customize.testing.rules import NotApplicable
from customize.testing.watched import Watched


def check_data_is_left_alone(subject: MethodSubject) -> None:
    """Rows are as they were after training on them."""
    data = subject.data()
    before = copy.deepcopy(data.rows)
    subject.train(subject.open(), data)
    changed = [i for i, row in enumerate(data.rows) if row != before[i]]
    expect(not changed, f"rows {changed} were changed")


def check_no_rows_are_refused(subject: MethodSubject) -> None:
    """Without rows it raises DataError before the first step."""
    _expect_refused(subject, GivenRows(subject.method.data, []), "no rows")


def check_one_row_is_enough_or_refused(subject: MethodSubject) -> None:
    """From one row it learns, or raises DataError before the first step."""
    watched = Watched(subject.open())
    try:
        steps = list(subject.method.train(watched, subject.data(1)))
    except DataError:
        expect(watched.steps == 0, f"is refused after {watched.steps} steps")
        return
    expect(bool(steps), "neither takes a step nor raises DataError")


def check_wrong_kind_of_data_is_refused(subject: MethodSubject) -> None:
    """Data of another kind raises DataError before the first step, naming the kind it takes."""
    kind = subject.method.data
    for other in ("chat", "preference", "prompt"):
        if other != kind:
            rows = GivenRows(other, bundled_rows(other))
            _expect_refused(subject, rows, f"{other!r} rows", naming=kind)


def check_row_with_nothing_to_learn_is_refused(subject: MethodSubject) -> None:
    """Where no row has anything to learn from it raises DataError before the first step."""
    if subject.method.data not in ("chat", "preference"):
        raise NotApplicable("every row of this kind may teach something")
    data = subject.data()
    for row in data.rows:
        for part in ("chosen", "rejected"):
            if part in row:
                row[part] = []
        row["messages"] = [m for m in row["messages"] if m["role"] != "assistant"]
    _expect_refused(subject, data, "rows without an answer")


def _expect_refused(subject: MethodSubject, data: GivenRows, what: str, naming: str = "") -> None:
    watched = Watched(subject.open())
    act = partial(subject.train, watched, data)
    expect_raises(DataError, act, what, naming)
    expect(watched.steps == 0, f"{what}: refused after {watched.steps} steps")
