"""Several answers a row: how they are drawn, and how much of the noise is theirs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from saying import asked, compared, row, taught

from customize import OptionError
from customize.evaluation import SnapshotColumn, Terms, evaluate
from customize.evaluation.answer_store import AnswerStore
from customize.evaluation.remarks import remarks
from customize.evaluation.results import read, write
from customize.evaluation.scorers import as_scorers
from customize.evaluation.statistics import variance_split

DRAWN: dict[str, Any] = {"samples": 4, "temperature": 1.0}


def mixed(n: int) -> list[str]:
    """Right in one, two or three of four."""
    return ["yes" if k <= n % 3 else "no" for k in range(4)]


def test_a_rows_score_is_the_mean_of_its_samples() -> None:
    got = compared([asked(n, base=mixed(n)) for n in range(30)], **DRAWN)
    assert [item.scores["base"]["right"] for item in got.items[:3]] == [0.25, 0.5, 0.75]
    assert got.rate("base").estimate == pytest.approx(0.5)
    assert got.rates == {"right"}  # each answer is right or wrong, so it is told in per cent
    assert got.items[1].right("base") is True  # of the answer that is shown, the first
    assert len(got.items[0].of("base")) == 4


def test_the_variance_is_split_and_told() -> None:
    rows = [asked(n, customized=mixed(n)) for n in range(30)]
    got = compared(rows, **DRAWN)
    found = got.variance("customized")
    assert found is not None
    rights = np.array([[float(text == "yes") for text in mixed(n)] for n in range(30)])
    assert found == variance_split(rights)
    assert found.within == pytest.approx(np.mean([x.var(ddof=1) for x in rights]))
    [told] = [line for line in remarks(got) if line.startswith("Of 4 answers a row")]
    assert f"{found.within:.2g} between answers to one" in told
    assert "twice the rows by 29 %" in told  # 1 - 1 / sqrt(2)
    assert compared([asked(n) for n in range(3)]).variance("customized") is None


def test_samples_of_a_model_differ_between_rows_and_numbers_and_are_kept(tmp_path: Path) -> None:
    column = SnapshotColumn("customized", taught("yes").base(), fingerprint="one")
    rows = [{**row("one", includes="yes"), "id": str(n)} for n in range(3)]
    for n, each in enumerate(rows):
        each["messages"] = [{"role": "user", "content": f"q{n}"}]
    store = AnswerStore(tmp_path / "answers.jsonl")
    got = evaluate([column], rows, Terms(max_tokens=8, **DRAWN), store=store)
    texts = {s.answer.text for item in got.items for s in item.of("customized")}
    assert len(texts) == 12
    write(got, tmp_path / "eval")
    again = read(tmp_path / "eval")
    assert again.items == tuple(got.items)
    assert again.variance("customized") == got.variance("customized")
    more = evaluate([column], rows, Terms(max_tokens=8, samples=5, temperature=1.0), store=store)
    assert [i.of("customized")[:4] for i in more.items] == [i.of("customized") for i in got.items]


def test_answers_to_one_row_stay_together_in_figures_over_all_rows() -> None:
    rows = [asked(n, base=["yes"] * 4 if n % 2 else ["no"] * 4) for n in range(20)]
    four = compared(rows, scorers=as_scorers(["calibration"]), **DRAWN)
    one = compared([{**r, "base": r["base"][0]} for r in rows], scorers=as_scorers(["calibration"]))
    both = [got.summaries["calibration.ece"]["base"] for got in (four, one)]
    assert attrs.astuple(both[0]) == pytest.approx(
        attrs.astuple(both[1])
    )  # four copies of an answer say no more than one


def test_several_samples_of_the_likeliest_answer_are_refused() -> None:
    with pytest.raises(OptionError, match="3 samples at temperature 0 are one answer"):
        compared([asked(1)], samples=3)
