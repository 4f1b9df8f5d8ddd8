"""What is said of rows that cannot be used, and of scorers that fail."""

from __future__ import annotations

import math
from typing import Any

import pytest
from saying import asked, compared

from customize import (
    DataError,
    Row,
    no_worse,
)
from customize.evaluation.gates import judge
from customize.evaluation.remarks import remarks
from customize.evaluation.scorers import as_scorers

BARE = {"messages": [{"role": "user", "content": "q"}]}


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([], "no rows"),
        ([BARE], r"1 of 1 rows without expect \(row 1\)"),
        ([asked(1), *[BARE] * 6], r"6 of 7 rows without expect \(row 2, .* row 6, …\)"),
        ([{"expect": {"equals": "x"}}], "row 1 has no messages"),
        ([asked(1), asked(2), asked(1)], "rows 1 and 3 share the id '1'"),
        (
            [{"messages": [{"role": "assistant", "content": "x"}], "expect": {"equals": "x"}}],
            "an answer and no question",
        ),
    ],
)
def test_rows_that_cannot_be_used_are_refused(rows: list[Any], told: str) -> None:
    with pytest.raises(DataError, match=told):
        compared(rows)


def test_rows_without_a_cluster_are_refused() -> None:
    with pytest.raises(DataError, match="no field 'document' to cluster by"):
        compared([asked(1, document="a"), asked(2)], cluster="document")


def test_rows_without_expect_are_scored_by_the_scorers_given() -> None:
    rows = [{k: v for k, v in asked(n).items() if k != "expect"} for n in range(4)]
    got = compared(rows, scorers=as_scorers({"equals": "yes"}))
    assert got.metric_names == ("equals",)
    assert got.rate("customized", metric="equals").estimate == 1


def test_a_scorer_that_raises_or_gives_no_number_is_counted_and_named() -> None:
    def broken(text: str, row: Row) -> float:
        if row["id"] == "3":
            raise KeyError("oops")
        return math.nan if row["id"] == "4" else 1.0

    got = compared([asked(n) for n in range(10)], scorers=as_scorers([broken]))
    assert got.rate("customized", metric="broken").estimate == 1  # of eight, and none is a zero
    assert {(f.item, f.column) for f in got.faults} == {
        (item, column) for item in "34" for column in ("base", "customized")
    }
    [told] = [line for line in remarks(got) if "broken" in line]
    assert "failed on 4 answers" in told
    assert "KeyError" in told
    # Nothing was shown of what has no score.
    assert judge(got, no_worse("broken", margin=0.5)).verdict == "inconclusive"
