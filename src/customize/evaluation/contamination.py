"""Rows that training gives away, and answers that give training away: long runs of equal words.

Runs of 13 words for rows, as for GPT-3 (arXiv 2005.14165, appendix C), and of 50 for answers, as
for extraction (arXiv 2202.07646). Knows no model. One pass over the training rows each; memory
grows with the test rows alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import attrs

from customize.data.texts import answers, spoken, words
from customize.evaluation.item import Item
from customize.evaluation.questions import questions_of
from customize.evaluation.scorers.leaks import runs
from customize.interfaces.dataset import Row

SAME, SHARED = "asked in training", "shares 13 words with training"
_OF_ROWS, _OF_ANSWERS = 13, 50


def contamination(test: Sequence[Row], training: Iterable[Row]) -> dict[str, list[str]]:
    """What is wrong with a test row, by its id; clean rows are not there."""
    asked: dict[str, list[str]] = {}
    said: dict[tuple[str, ...], list[str]] = {}
    for question in questions_of(test, need_expect=False):
        asked.setdefault(_asked(question.row), []).append(question.id)
        for run in runs(spoken(question.row), _OF_ROWS):
            said.setdefault(run, []).append(question.id)
    found: dict[str, dict[str, None]] = {}
    for row in training:
        for one in asked.get(_asked(row), ()):
            found.setdefault(one, {})[SAME] = None
        for run in runs(spoken(row), _OF_ROWS):
            for one in said.get(run, ()):
                found.setdefault(one, {})[SHARED] = None
    return {one: list(flags) for one, flags in found.items()}


def with_repeats(
    items: Sequence[Item], training: Iterable[Row], length: int = _OF_ANSWERS
) -> list[Item]:
    """The items, flagged where a column's answer repeats so many words of a training answer."""
    said: dict[tuple[str, ...], set[tuple[str, str]]] = {}
    for item in items:
        for column, answer in item.answers.items():
            for run in runs(answer.text, length):
                said.setdefault(run, set()).add((item.id, column))
    found: dict[str, dict[str, None]] = {}
    for row in training if said else ():
        for run in (run for text in answers(row) for run in runs(text, length)):
            for one, column in sorted(said.get(run, ())):
                found.setdefault(one, {})[f"{column} repeats {length} words of training"] = None
    return [attrs.evolve(i, flags=(*i.flags, *found.get(i.id, ()))) for i in items]


def _asked(row: Row) -> str:
    """What users say, in one form."""
    said = (m["content"] for m in row["messages"] if m["role"] == "user")
    return "\n".join(" ".join(words(str(text))) for text in said)
