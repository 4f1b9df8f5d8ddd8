"""General ability: 150 short items that show what a customization broke. Knows no user's rows.

110 items are choices: each choice is scored as the assistant's whole reply, and the likeliest is
the answer. 40 are written: the greedy reply is checked. Both read no other model's judgement.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import attrs


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
    text = files(__name__).joinpath("items.jsonl").read_text("utf-8")
    return tuple(GeneralItem(**json.loads(line)) for line in text.splitlines())


def rows() -> list[dict[str, Any]]:
    """The items as rows to evaluate on."""
    return [_row(item) for item in items()]


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
