"""What the quickstart shows beside its table, whatever came out."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import attrs
import pytest
from rich.console import Console
from saying import asked, compared

from customize.evaluation.item import Item
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


def test_each_answer_is_shown_as_right_or_wrong(quickstart: Any) -> None:
    [item] = quickstart.shown(compared([asked(1)]))
    lines = printed(quickstart, item)
    [head] = [line for line in lines if "before (wrong)" in line]
    assert "after (right)" in head


def test_answers_stand_side_by_side_whole_and_within_80_columns(quickstart: Any) -> None:
    before = "I will refund the full amount [today], within minutes of your telling me the number."
    after = "I am sorry. A colleague decides about refunds and writes to you before this evening."
    [item] = quickstart.shown(compared([asked(1, base=before, customized=after)]))
    lines = printed(quickstart, attrs.evolve(item, question="Can I have [bold] my money back?"))
    assert max(map(len, lines)) <= 80
    assert "Can I have [bold] my money back?" in [line.strip() for line in lines]
    head = next(n for n, line in enumerate(lines) if "before (" in line)
    middle = lines[head].index("after (")
    rows = lines[head + 2 :]
    assert " ".join(" ".join(row[:middle] for row in rows).split()) == before
    assert " ".join(" ".join(row[middle:] for row in rows).split()) == after


def test_a_word_wider_than_its_column_is_folded_and_not_cut(quickstart: Any) -> None:
    [item] = quickstart.shown(compared([asked(1, base="", customized="x" * 60)]))
    lines = printed(quickstart, attrs.evolve(item, question="What?"))
    assert sum(line.count("x") for line in lines) == 60


def printed(quickstart: Any, item: Item) -> list[str]:
    console = Console(width=80)
    with console.capture() as told:
        console.print(quickstart.side_by_side(item))
    return told.get().splitlines()


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
