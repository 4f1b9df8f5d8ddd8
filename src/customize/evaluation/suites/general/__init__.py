"""General ability: 300 short items and 50 short texts that show what a customization broke.

Knows no user's rows. Choices are scored as the assistant's whole reply, and the likeliest is the
answer; what is written is the greedy reply, checked by its ``expect``; texts are weighed as the
assistant's reply. None reads another model's judgement.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import attrs

NUM_ITEMS = 300


@attrs.frozen
class GeneralItem:
    """A question with ``choices`` and the right one's index, or with an ``expect``."""

    id: str
    kind: str
    question: str
    choices: tuple[str, ...] = attrs.field(default=(), converter=tuple)
    answer: int = 0
    expect: dict[str, Any] | None = None


def items() -> tuple[GeneralItem, ...]:
    """All items, always in the same order."""
    return tuple(GeneralItem(**value) for value in _lines("items.jsonl"))


def rows(num_items: int = NUM_ITEMS) -> list[dict[str, Any]]:
    """So many of the items as rows to evaluate on: always the same, each kind with its share."""
    return [_row(item) for item in _chosen(items(), num_items)]


def texts() -> list[dict[str, Any]]:
    """General texts as rows: what was asked for, and the text as the answer."""
    return [
        {
            "id": value["id"],
            "trait": "text",
            "messages": [
                {"role": "user", "content": value["asked"]},
                {"role": "assistant", "content": value["text"]},
            ],
        }
        for value in _lines("texts.jsonl")
    ]


def _chosen(among: tuple[GeneralItem, ...], num: int) -> list[GeneralItem]:
    """At even distances through the items sorted by kind."""
    ordered = sorted(among, key=lambda item: (item.kind, item.id))
    num = min(num, len(ordered))
    chosen = {ordered[i * len(ordered) // num].id for i in range(num)}
    return [item for item in among if item.id in chosen]


def _lines(name: str) -> list[dict[str, Any]]:
    text = files(__name__).joinpath(name).read_text("utf-8")
    return [json.loads(line) for line in text.splitlines()]


def _row(item: GeneralItem) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": item.id,
        "trait": item.kind,
        "messages": [{"role": "user", "content": item.question}],
    }
    if item.choices:
        row |= {"choices": item.choices, "answer": item.answer}
    # By full names: no plugin that is installed changes what the suite asks for.
    expect = item.expect or {"choice": True}
    return {**row, "expect": {f"customize:{name}": given for name, given in expect.items()}}
