"""Gates: pass, fail, or inconclusive with the rows they would need."""

from __future__ import annotations

import math
from typing import Any

import attrs
import numpy as np
import pytest
from playing import Speaker
from saying import asked, compared

import customize
from customize import (
    DataError,
    Driver,
    Evaluation,
    OptionError,
    Row,
    Sampling,
    better,
    no_worse,
)
from customize.evaluation.columns import SnapshotColumn
from customize.evaluation.evaluate import evaluate
from customize.evaluation.gates import judge
from customize.evaluation.playing import Playing
from customize.evaluation.scorers import as_scorers
from customize.evaluation.scoring import ALL, Fault
from customize.evaluation.statistics import paired_difference, superior
from customize.evaluation.terms import Terms
from customize.interfaces.gate import parse_gate


def _with(only_new: int, only_old: int, n: int) -> Evaluation:
    rows = [
        asked(
            k,
            base="yes" if only_new <= k < only_new + only_old else "no",
            customized="yes" if k < only_new else "no",
        )
        for k in range(n)
    ]
    return compared(rows)


@pytest.mark.parametrize(
    ("counts", "gate", "verdict"),
    [
        ((30, 5, 100), "better(right)", "pass"),
        ((5, 30, 100), "better(right)", "fail"),
        ((7, 5, 100), "better(right)", "inconclusive"),
        ((5, 5, 400), "no_worse(right, margin=0.05)", "pass"),
        ((5, 30, 100), "no_worse(right, margin=0.05)", "fail"),
        ((5, 5, 40), "no_worse(right, margin=0.05)", "inconclusive"),
    ],
)
def test_a_gate_passes_fails_or_needs_more_rows(
    counts: tuple[int, int, int], gate: str, verdict: str
) -> None:
    got = judge(_with(*counts), parse_gate(gate))
    assert got.verdict == verdict
    assert got.gate == gate
    assert ("rows are needed" in got.told) == (verdict == "inconclusive")


def test_the_rows_a_gate_asks_for_are_enough_in_four_of_five_studies() -> None:
    told = judge(_with(9, 4, 60), better()).told
    needed = int(told.rsplit("about ", 1)[1].split()[0])
    rng = np.random.default_rng(0)
    passed = 0
    for b, c, _ in rng.multinomial(needed, [9 / 60, 4 / 60, 47 / 60], size=500):
        passed += superior(paired_difference(int(b), int(c), needed)) == "pass"
    assert 0.72 <= passed / 500 <= 0.9


def test_one_cluster_and_figures_that_are_not_defined_are_inconclusive() -> None:
    rows = [asked(n, document="one", answerable=True) for n in range(10)]
    got = compared(rows, cluster="document", scorers=as_scorers(["degeneration", "abstention"]))
    for metric, told in (
        ("degeneration.words", "do not show how much it varies"),
        ("abstention.precision", "abstention.precision is not defined"),
    ):
        result = judge(got, better(metric))
        assert result.verdict == "inconclusive"
        assert told in result.told


def test_less_is_better_where_the_scorer_says_so() -> None:
    rows = [asked(n, base="", customized="yes") for n in range(30)]
    got = compared(rows, scorers=as_scorers(["degeneration"]))
    assert judge(got, better("degeneration.empty")).verdict == "pass"
    assert judge(got, better("degeneration.words")).verdict == "pass"


def test_a_gate_on_a_figure_over_all_rows() -> None:
    rows = [asked(n, base="no", customized="yes") for n in range(40)]
    got = compared(rows, scorers=as_scorers(["calibration"]))
    assert got.summaries["calibration.ece"]["base"].estimate == pytest.approx(math.exp(-0.1))
    assert judge(got, better("calibration.ece")).verdict == "pass"


def test_a_gate_may_judge_another_column_than_the_last() -> None:
    rows = [asked(n, retrieved="yes", customized="no") for n in range(30)]
    got = compared(rows, "base retrieved customized", scorers=as_scorers(["calibration"]))
    judged = judge(got, better(of="retrieved"))
    assert judged.verdict == "pass"
    assert judged.told.startswith("retrieved against base on 30 rows: a gain of +100 ")
    assert judge(got, no_worse("calibration.ece", of="retrieved")).verdict == "pass"
    assert judge(got, better()).verdict == "inconclusive"


def test_a_gate_on_a_slice_counts_what_failed_on_its_rows_alone() -> None:
    rows = [asked(n, trait="short" if n < 30 else "polite") for n in range(60)]
    got = compared(rows)
    failed = attrs.evolve(got, faults=(Fault("45", "customized", "expect", "ValueError: odd"),))
    assert judge(failed, better(slice="trait=short")).verdict == "pass"
    for gate in (better(slice="trait=polite"), better()):
        result = judge(failed, gate)
        assert (result.verdict, "but 1 scores are missing" in result.told) == ("inconclusive", True)
    over_all = attrs.evolve(got, faults=(Fault(ALL, "customized", "expect", "ValueError: odd"),))
    assert judge(over_all, better(slice="trait=short")).verdict == "inconclusive"


@customize.environment
def _won_by_yes(row: Row, rng: Any) -> Any:
    """It fails on what the new model says to some rows."""
    reply = yield row["messages"]
    if reply.text == "yes" and row["fails"]:
        raise ValueError("odd")
    return float(reply.text == "yes")


def _played(rows: list[dict[str, Any]]) -> Evaluation:
    columns = [SnapshotColumn("before", Speaker("no")), SnapshotColumn("after", Speaker("yes"))]
    playing = Playing(Driver(_won_by_yes, Sampling(max_tokens=8)))
    return evaluate(columns, rows, Terms(slices=("trait",)), playing=playing)


@pytest.mark.parametrize("metric", ["reward", "pass@1", "turns"])
def test_a_gate_on_what_was_played_does_not_pass_over_rows_that_failed(metric: str) -> None:
    """Such rows are no items, and of what slice they were is not known."""
    rows = [asked(n, trait="ab"[n % 2], fails=n >= 40) for n in range(60)]
    whole, got = _played(rows[:40]), _played(rows)
    assert (len(got.items), len(got.faults)) == (40, 20)
    for slice in (None, "trait=a"):
        gate = no_worse(metric, 0.5, slice=slice)
        assert judge(whole, gate).verdict == "pass"
        result = judge(got, gate)
        assert result.verdict == "inconclusive"
        assert "but 20 scores are missing" in result.told
    with pytest.raises(OptionError, match="no score 'rewrad': there are reward"):
        judge(got, better("rewrad"))


@pytest.mark.parametrize("than", ["prompted", '"prompted"', "'prompted'"])
def test_a_columns_name_may_be_in_quotes_as_in_python(than: str) -> None:
    assert parse_gate(f"better(right, than={than})") == better("right", "prompted")


def test_rows_that_are_there_already_are_not_asked_for() -> None:
    got = compared([asked(n, base="no", customized="yes") for n in range(2)])
    told = judge(got, better()).told
    assert told.endswith("; more than 2 rows are needed")


def test_a_gate_on_what_only_one_column_has_is_refused() -> None:
    def only(text: str, row: Row) -> float | None:
        return 1.0 if text == "yes" else None

    got = compared([asked(n) for n in range(5)], scorers=as_scorers([only]))
    with pytest.raises(OptionError, match="no row has the score 'only' of both customized and b"):
        judge(got, better("only"))


@pytest.mark.parametrize(
    ("gate", "told"),
    [
        (better("rigth"), "no score 'rigth': there are right"),
        (better(than="prompted"), "no column 'prompted': there are base, customized"),
        (better(slice="trait=x"), "no row is in 'trait=x'"),
        (better(of="retrieved"), "no column 'retrieved': there are base, customized"),
    ],
)
def test_a_gate_on_what_is_not_there_is_refused(gate: Any, told: str) -> None:
    with pytest.raises((OptionError, DataError), match=told):
        judge(_with(1, 1, 10), gate)


@pytest.mark.parametrize(
    "text",
    [
        "better(right)",
        "better(right, than=prompted)",
        "better(right, than=base, of=retrieved)",
        "no_worse(general, margin=0.1)",
        "no_worse(rouge_l, margin=0.02, than=base, slice=trait=short and polite)",
    ],
)
def test_a_gate_is_read_as_it_is_written(text: str) -> None:
    assert str(parse_gate(text)) == text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("right", "a gate reads"),
        ("better(right, margin=1)", "better has no 'margin'"),
        ("no_worse(right, margin=x)", "margin must be a number"),
        ("no_worse(right, margin=0)", "margin above 0"),
    ],
)
def test_a_gate_that_cannot_be_read_says_how_one_is_written(text: str, told: str) -> None:
    with pytest.raises(OptionError, match=told):
        parse_gate(text)
