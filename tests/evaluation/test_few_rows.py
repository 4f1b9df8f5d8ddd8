"""Where rows are too few for an interval: one row, one cluster, a slice of one."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from saying import asked, compared

from customize import Evaluation, better, no_worse
from customize.evaluation import Item
from customize.evaluation.expectations import said
from customize.evaluation.gates import judge, judged
from customize.evaluation.item import Sample
from customize.evaluation.measures import change, estimate
from customize.evaluation.remarks import headline
from customize.evaluation.scorers import as_scorers
from customize.evaluation.statistics import Interval, bootstrap, weighted_mean
from customize.evaluation.table import table
from customize.evaluation.wording import amount, points
from customize.runs.report import keep

TWICE: dict[str, Any] = {"samples": 2, "temperature": 1.0}
HALF = ["yes", "no"]


def shown(evaluation: Evaluation) -> str:
    from rich.console import Console

    stream = io.StringIO()
    Console(file=stream, width=80).print(table(evaluation))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("rows", "more", "slice"),
    [
        ([asked(1, base=["no", "no"], customized=HALF)], {}, None),
        (
            [asked(n, base=["no", "no"], customized=HALF, trait="ab"[n > 0]) for n in range(3)],
            {},
            "trait=a",
        ),
        (
            [asked(n, base=["no", "no"], customized=HALF, doc="a") for n in range(3)],
            {"cluster": "doc"},
            None,
        ),
    ],
)
def test_a_sampled_rate_of_one_row_slice_or_cluster_says_nothing(
    rows: Any, more: Any, slice: str | None, tmp_path: Path
) -> None:
    got = compared(rows, **more, **TWICE)
    assert attrs.astuple(got.rate("customized", slice)) == (0.5, 0.0, 1.0)
    assert attrs.astuple(got.change("customized", "base", slice)) == (0.5, -1.0, 1.0)
    gates = [better(slice=slice), no_worse(margin=0.05, slice=slice)]
    got = judged(got, gates)
    assert [gate.verdict for gate in got.gates] == ["inconclusive"] * 2
    assert "50 [0, 100]" in shown(got)
    assert "+50 [-100, +100]" in shown(got)
    keep(got, tmp_path, None)
    assert "50 [0, 100]" in (tmp_path / "report.html").read_text("utf-8")


@pytest.mark.parametrize("num", [1, 2, 3, 10, 40])
@pytest.mark.parametrize("clustered", [False, True])
def test_rates_lie_within_0_and_1_and_their_changes_within_1_of_0(
    num: int, clustered: bool
) -> None:
    rng = np.random.default_rng(num)
    for _ in range(20):
        rows = [
            asked(n, base=_drawn(rng), customized=_drawn(rng), doc=str(n // 4)) for n in range(num)
        ]
        got = compared(rows, cluster="doc" if clustered else None, **TWICE)
        rate, moved = got.rate("customized"), got.change("customized", "base")
        assert 0 <= rate.low <= rate.estimate <= rate.high <= 1
        assert -1 <= moved.low <= moved.estimate <= moved.high <= 1
        assert rate.high > rate.low
        assert moved.high > moved.low


def _drawn(rng: np.random.Generator) -> list[str]:
    return [str(text) for text in rng.choice(HALF, size=2)]


def test_rows_whose_samples_agree_do_not_make_the_interval_collapse() -> None:
    two = compared([asked(n, base=["no", "no"], customized=HALF) for n in range(2)], **TWICE)
    assert judge(two, better()).verdict == "inconclusive"  # each row gained exactly a half
    many = compared([asked(n, base=["no", "no"], customized=HALF) for n in range(40)], **TWICE)
    assert judge(many, better()).verdict == "pass"


def test_sampled_rates_cover_95_percent_of_studies() -> None:
    rng, truth = np.random.default_rng(0), 0.3
    of_rows = rng.beta(1.5, 3.5, (2000, 100, 1))
    rights = rng.random((2000, 100, 3)) < of_rows
    others = rng.random((2000, 100, 3)) < of_rows
    got = [_rate_and_change(*study) for study in zip(rights[:500], others[:500], strict=True)]
    assert 0.92 <= np.mean([r.low <= truth <= r.high for r, _ in got]) <= 0.98
    assert 0.92 <= np.mean([c.low <= 0 <= c.high for _, c in got]) <= 0.98


def _rate_and_change(new: Any, old: Any) -> tuple[Interval, Interval]:
    items = [_item(n, {"new": list(new[n]), "old": list(old[n])}) for n in range(len(new))]
    rate, moved = estimate(items, "right", "new"), change(items, "right", "new", "old")
    assert rate is not None
    assert moved is not None
    return rate, moved.interval


def _item(number: int, rights: dict[str, list[Any]]) -> Item:
    answer = said("")
    samples = {
        name: tuple(Sample(answer, {"right": float(right)}) for right in drawn)
        for name, drawn in rights.items()
    }
    means = {name: {"right": float(np.mean(drawn))} for name, drawn in rights.items()}
    answers = dict.fromkeys(rights, answer)
    return Item(str(number), "q", "", {}, None, answers, means, samples=samples)


def test_rows_with_fewer_answers_count_as_the_others_and_stay_in_bounds() -> None:
    items = [_item(0, {"new": [1, 1], "old": [0, 0]}), _item(1, {"new": [0], "old": [0]})]
    rate, moved = estimate(items, "right", "new"), change(items, "right", "new", "old")
    assert rate is not None
    assert moved is not None
    assert attrs.astuple(rate) == (0.5, 0.0, 1.0)
    assert attrs.astuple(moved.interval) == (0.5, -1.0, 1.0)


def test_other_figures_of_one_row_are_told_without_an_interval(tmp_path: Path) -> None:
    rows = [asked(1, base="no no", customized="yes it is")]
    got = compared(rows, scorers=as_scorers(["degeneration", "calibration"]))
    assert not got.rate("customized", metric="degeneration.words").is_bounded
    assert not got.summaries["calibration.ece"]["customized"].is_bounded
    for text in (shown(got), _page(got, tmp_path)):
        assert "3 (no interval)" in text
        assert "inf" not in text
    result = judge(got, better("degeneration.words"))
    assert result.verdict == "inconclusive"
    assert "a gain of +1 (no interval); so few rows" in result.told
    assert judge(got, no_worse("calibration.ece", margin=0.5)).verdict == "inconclusive"
    assert all(math.isfinite(value) for value in got.metrics.values())


def test_a_first_metric_of_one_cluster_has_a_headline_and_shows_no_power() -> None:
    row = {**asked(1, base="no no", customized="yes it is", doc="a"), "expect": None}
    rows = [{**row, "id": str(n)} for n in range(3)]
    got = compared(rows, scorers=as_scorers([_num_words]), cluster="doc")
    assert headline(got) == (
        "Customized cannot be told apart from the base on 3 rows: 3 (no interval) _num_words, "
        "a change of +1 (no interval)."
    )
    assert "do not show how much _num_words varies" in " ".join(shown(got).split())


def _num_words(text: str, row: Any) -> float:
    return float(len(text.split()))


def _page(evaluation: Evaluation, folder: Path) -> str:
    keep(evaluation, folder, None)
    return (folder / "report.html").read_text("utf-8")


def test_a_figure_that_is_not_defined_is_told_as_such(tmp_path: Path) -> None:
    rows = [asked(n, answerable=True) for n in range(5)]
    got = compared(rows, scorers=as_scorers(["abstention"]))
    for text in (shown(got), _page(got, tmp_path)):
        assert "not defined" in text
        assert "nan" not in text
    result = judge(got, better("abstention.precision"))
    assert result.verdict == "inconclusive"
    assert result.told.endswith("abstention.precision is not defined")


def test_a_bootstrap_of_one_cluster_has_no_interval() -> None:
    values = np.array([0.1, 0.4, 0.2])
    for clusters in (None, np.zeros(3, np.int64)):
        num = 1 if clusters is None else 3
        got = bootstrap(weighted_mean(values[:num]), num, clusters)
        assert (got.low, got.high) == (-math.inf, math.inf)


@pytest.mark.parametrize(
    ("interval", "told"),
    [
        (Interval(0.364, 0.281, 0.447), ("36 [28, 45]", "0.364 [0.281, 0.447]")),
        (Interval(0.5, -math.inf, math.inf), ("50 (no interval)", "0.5 (no interval)")),
        (Interval(math.nan, -math.inf, math.inf), ("not defined", "not defined")),
        (Interval(-0.001, -0.004, 0.0), ("0 [0, 0]", "-0.001 [-0.004, 0]")),
    ],
)
def test_intervals_in_words(interval: Interval, told: tuple[str, str]) -> None:
    assert (points(interval), amount(interval)) == told
