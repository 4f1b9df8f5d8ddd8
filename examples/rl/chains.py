"""Chains of small sums in words, for reasoning step by step: phrasings to learn and to be asked.

Rows are made by a seed: the same every time. Standard library only.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import attrs

Row = dict[str, Any]  # JSON values

SYSTEM = "Work it out. End with answer: and the number."


@attrs.frozen
class Story:
    """How a chain begins, what raises and what lowers the number, and what is asked."""

    begin: str
    more: str
    less: str
    ask: str


TAUGHT = (
    Story("Start with {}.", "Add {}.", "Take away {}.", "What is the result?"),
    Story("{} people are on a bus.", "{} get on.", "{} get off.", "How many are on it now?"),
    Story("Anna has {} coins.", "She finds {}.", "She loses {}.", "How many does she have?"),
    Story("There are {} birds.", "{} come.", "{} fly away.", "How many are there?"),
)
HELD_OUT = (
    Story("Begin at {}.", "Go up by {}.", "Go down by {}.", "Where are you?"),
    Story("Tom bakes {} cakes.", "He bakes {} more.", "He sells {}.", "How many are left?"),
    Story("{} guests are at a party.", "{} arrive.", "{} leave.", "How many guests are there?"),
)


def rows(
    stories: Sequence[Story],
    num_rows: int,
    seed: int,
    demonstrated: bool = False,
    steps: bool = True,
) -> list[Row]:
    """Questions with their answer; demonstrated, with its steps or at once."""
    rng = random.Random(seed)
    return [_row(rng, stories[i % len(stories)], demonstrated, steps) for i in range(num_rows)]


def _row(rng: random.Random, story: Story, demonstrated: bool, steps: bool) -> Row:
    number = rng.randint(5, 9)
    sentences, sums = [story.begin.format(number)], []
    for _ in range(2):
        change = rng.randint(1, 3)
        rises = rng.random() < 0.5
        sentences.append((story.more if rises else story.less).format(change))
        after = number + change if rises else number - change
        sums.append(f"{number} {'+' if rises else '-'} {change} = {after}")
        number = after
    asked = [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": " ".join([*sentences, story.ask])},
    ]
    if not demonstrated:
        return {"messages": asked, "answer": f"answer: {number}"}
    said = "\n".join([*(sums if steps else ()), f"answer: {number}"])
    return {"messages": [*asked, {"role": "assistant", "content": said}]}
