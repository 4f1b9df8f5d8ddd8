"""What the quickstart prints of answers: before and after side by side, nothing of them lost."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from rich.console import Console

from customize import Answer
from customize.evaluation.item import Item

FOLDER = Path(__file__).parents[2] / "examples" / "pizza"
BEFORE = "I will refund the full amount [today], within minutes of your telling me your number."
AFTER = "I am sorry. A colleague decides about refunds and will write to you before this evening."


def printed(question: str, before: str, after: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.syspath_prepend(str(FOLDER))
    quickstart = importlib.import_module("quickstart")
    answers = {"base": said(before), "customized": said(after)}
    scores = {"base": {"right": 0.0}, "customized": {"right": 1.0}}
    console = Console(width=80)
    with console.capture() as told:
        console.print(quickstart.side_by_side(Item("1", question, "", {}, None, answers, scores)))
    return told.get().splitlines()


def said(text: str) -> Answer:
    return Answer(text, {"role": "assistant", "content": text}, 9, 9, -1.0, True, 0.1, 0.1)


def test_answers_stand_side_by_side_whole_and_within_80_columns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = printed("Can I have [bold] my money back?", BEFORE, AFTER, monkeypatch)
    assert max(map(len, lines)) <= 80
    assert "Can I have [bold] my money back?" in [line.strip() for line in lines]
    head = next(n for n, line in enumerate(lines) if "before (wrong)" in line)
    middle = lines[head].index("after (right)")
    rows = lines[head + 2 :]
    assert " ".join(" ".join(row[:middle] for row in rows).split()) == BEFORE
    assert " ".join(" ".join(row[middle:] for row in rows).split()) == AFTER


def test_a_word_wider_than_its_column_is_folded_and_not_cut(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = printed("What?", "", "x" * 60, monkeypatch)
    assert sum(line.count("x") for line in lines) == 60
