"""Scorers that fail: counted and named, and nothing else is lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from saying import asked, compared

from customize import Answer, OptionError, Row, Scorer, better
from customize.evaluation.expectations import Expectation
from customize.evaluation.gates import judge
from customize.evaluation.remarks import headline, remarks
from customize.evaluation.results import read, write
from customize.evaluation.scorers import as_scorers
from customize.runs.report import _page


class Ones(Scorer):
    def score(self, answer: Answer, row: Row) -> Any:
        return 1.0


class Unprepared(Ones):
    def prepare(self, answers: Sequence[Answer], rows: Sequence[Row]) -> None:
        raise RuntimeError("nobody is there")


class Unsummed(Ones):
    def summary(self, scores: Mapping[str, Any], weights_RN: Any) -> Mapping[str, Any]:
        raise RuntimeError("no sum")


class Halfway(Ones):
    """Its figure is there when all rows count once, and not when they are drawn anew."""

    def summary(self, scores: Mapping[str, Any], weights_RN: Any) -> Mapping[str, Any]:
        if len(weights_RN) > 1:
            return {}
        return {"sum": weights_RN.sum(axis=1)}


class Uneven(Scorer):
    """Row 0 has another part than the others."""

    def score(self, answer: Answer, row: Row) -> Any:
        return {"a": 1.0} if row["id"] != "0" else {"b": 1.0}

    def summary(self, scores: Mapping[str, Any], weights_RN: Any) -> Mapping[str, Any]:
        return {"share": weights_RN @ scores["a"] / weights_RN.sum(axis=1)}


ROWS = [asked(n) for n in range(5)]


def test_a_scorer_that_cannot_prepare_is_counted_on_every_answer(tmp_path: Path) -> None:
    got = compared(ROWS, scorers=as_scorers([Unprepared(), "degeneration"]))
    assert [(f.item, f.column) for f in got.faults] == [
        (str(n), column) for column in ("base", "customized") for n in range(5)
    ]
    [told] = [line for line in remarks(got) if "unprepared" in line]
    assert told.startswith("unprepared failed on 10 answers, which have no such score (0: Runtime")
    assert got.rate("customized").estimate == 1
    assert "unprepared" not in got.metric_names
    write(got, tmp_path)
    assert read(tmp_path).faults == got.faults


def test_an_expectation_that_cannot_prepare_has_no_rights() -> None:
    shared = Expectation({"unprepared": Unprepared()})
    got = compared([{**row, "expect": shared} for row in ROWS], scorers=as_scorers([Ones()]))
    assert got.metric_names == ("ones",)
    assert len(got.faults) == 10
    assert {fault.scorer for fault in got.faults} == {"expect"}


@pytest.mark.parametrize("scorer", [Unsummed(), Halfway()])
def test_a_scorer_whose_figures_fail_keeps_its_scores_and_everything_else(scorer: Scorer) -> None:
    name = type(scorer).__name__.lower()
    got = compared(ROWS, scorers=as_scorers([scorer, "calibration"]))
    assert [(f.item, f.column, f.scorer) for f in got.faults] == [
        ("all", "base", name),
        ("all", "customized", name),
    ]
    assert sum(f"{name} failed over all answers of" in line for line in remarks(got)) == 2
    assert got.rate("customized", metric=name).estimate == 1
    assert list(got.summaries) == ["calibration.ece", "calibration.risk"]
    result = judge(got, better(f"{name}.sum"))
    assert result.verdict == "inconclusive"
    assert result.told.startswith(f"{name} failed: ")
    with pytest.raises(OptionError, match=r"no score 'calibration\.sum'"):
        judge(got, better("calibration.sum"))


def test_parts_that_differ_between_rows_are_told_where_a_figure_needs_them() -> None:
    got = compared(ROWS, scorers=as_scorers([Uneven(), "degeneration"]))
    assert not got.summaries["uneven.share"]["customized"].is_defined
    told = "share is not defined: 4 answers have no 'b', 1 answers have no 'a'"
    assert [fault.error for fault in got.faults] == [told] * 2
    assert got.rate("customized", metric="uneven.a").estimate == 1
    assert judge(got, better("uneven.share")).verdict == "inconclusive"


@pytest.mark.parametrize(
    ("fails_on", "told"),
    [
        ("yes", "Customized has no answer with the score picky."),
        ("no", "customized on 5 rows: 100 [57, 100] % right."),
    ],
)
def test_one_that_fails_on_every_answer_of_a_column_leaves_a_page_that_says_so(
    fails_on: str, told: str
) -> None:
    def picky(text: str, row: Row) -> float:
        if text == fails_on:
            raise ValueError("odd text")
        return 1.0

    rows = [{key: row[key] for key in row if key != "expect"} for row in ROWS]
    got = compared(rows, scorers=as_scorers([picky]))
    assert headline(got) == told
    assert "change" not in got.metrics
    assert any("ValueError: odd text" in line for line in remarks(got))
    assert "odd text" in _page(None, got)
