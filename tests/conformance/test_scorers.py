"""Our own scorers, held to the rules that others' are; and what may be held to them."""

from __future__ import annotations

from typing import Any

import pytest

from customize import DataError, Row, Scorer
from customize.evaluation.scorers import make_scorer
from customize.evaluation.scorers.texts import Includes
from customize.plugins.built_in import BUILT_IN
from customize.testing.expansion import cases_of
from customize.testing.holding import Outcome, hold

# Of those that cannot do without.
GIVEN: dict[str, Any] = {
    "includes": "Margherita",
    "excludes": ["sorry", "cannot"],
    "matches": r"\d+",
    "avoids": [r"\d+", "(?i)never"],
    "max_words": 5,
    "number": {"value": 18, "within": 0.5},
    "json_schema": {"type": "object"},
}


def outcomes(scorer: object, on: object = None) -> list[Outcome]:
    return [hold(case.subject(), case.rule) for case in cases_of("scorer", scorer, on)]


def made(name: str) -> Scorer:
    return make_scorer(name, GIVEN[name]) if name in GIVEN else make_scorer(name)


@pytest.mark.parametrize("name", BUILT_IN["scorer"])
def test_our_own_keep_every_rule(name: str) -> None:
    if name == "json_schema":
        pytest.importorskip("jsonschema")
    found = outcomes(made(name))
    assert [(o.rule, o.reason) for o in found if o.status == "failed"] == []
    assert {o.reason for o in found if o.status == "skipped"} <= {
        "reads answers",
        "gives no summary",
    }


def test_a_name_stands_for_a_scorer() -> None:
    assert {o.status for o in outcomes("degeneration")} == {"passed", "skipped"}


def test_one_that_needs_options_is_skipped_until_it_has_them() -> None:
    told = "needs options: conformance(scorer=Includes(texts=…))"
    for given in ("includes", Includes):
        assert {(o.status, o.reason) for o in outcomes(given)} == {("skipped", told)}


def dialect(text: str, row: Row) -> float | None:
    return None if row.get("dialect") is None else float(row["dialect"] in text)


def test_a_function_is_held_to_them_on_rows_that_ask_for_its_score() -> None:
    rows = [{"messages": [{"role": "user", "content": "Hi"}], "dialect": "Moin"}]
    failed = {o.rule: o.reason for o in outcomes(dialect) if o.status == "failed"}
    assert list(failed) == ["check_scores_are_numbers"]
    assert "give rows that ask for one, on=[…]" in failed["check_scores_are_numbers"]
    assert not [o.rule for o in outcomes(dialect, rows) if o.status == "failed"]


@pytest.mark.parametrize(
    ("message", "status"),
    [("a field is missing", "failed"), ("the row has no answerable: say true", "passed")],
)
def test_a_data_error_is_to_name_the_field(message: str, status: str) -> None:
    def needy(text: str, row: Row) -> bool:
        if "answerable" not in row:
            raise DataError(message)
        return bool(row["answerable"])

    by_rule = {o.rule: o.status for o in outcomes(needy)}
    assert by_rule["check_missing_fields_are_told"] == status
