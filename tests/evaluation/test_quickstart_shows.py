"""What the quickstart shows beside its table, whatever came out."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
from saying import asked, compared

from customize.evaluation.table import caption

PIZZA = Path(__file__).parents[2] / "examples" / "pizza"


@pytest.fixture
def quickstart(monkeypatch: pytest.MonkeyPatch) -> Any:  # an example is no package
    monkeypatch.syspath_prepend(PIZZA)
    return importlib.import_module("quickstart")


@pytest.mark.parametrize("num_better", [0, 1, 2, 3, 40])
def test_three_answers_are_shown_and_first_those_that_came_right(
    quickstart: Any, num_better: int
) -> None:
    rows = [asked(n, customized="yes" if n < num_better else "no") for n in range(60)]
    ids = [int(item.id) for item in quickstart.shown(compared(rows))]
    assert len(set(ids)) == 3
    assert sum(number < num_better for number in ids) == min(num_better, 3)


def test_of_two_rows_both_are_shown(quickstart: Any) -> None:
    assert len(quickstart.shown(compared([asked(1), asked(2, customized="no")]))) == 2


def test_each_answer_is_shown_as_right_or_wrong(
    quickstart: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    for item in quickstart.shown(compared([asked(1)])):
        quickstart.show_item(item)
    said = capsys.readouterr().out
    assert "before: no (wrong)" in said
    assert "after:  yes (right)" in said


def test_traits_that_did_not_gain_are_named_below_the_table() -> None:
    rows = [
        asked(number, customized=said, trait=trait)
        for number, (trait, said) in enumerate(
            [("gains", "yes")] * 20 + [("stays", "no")] * 20 + [("few", "no")] * 5
        )
    ]
    told = [line for line in caption(compared(rows)).splitlines() if "no gain" in line]
    assert told == ["no gain is shown (the change's interval reaches none) for: stays."]
    assert "no gain" not in caption(compared(rows[:20]))
