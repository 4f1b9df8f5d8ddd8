"""General ability: 150 short items that show what a customization broke. Knows no user's rows.

110 items are choices: each choice is scored as the assistant's whole reply, and the likeliest is
the answer. 40 are written: the greedy reply is checked. Both read no other model's judgement.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any

import attrs
import numpy as np

from customize._batch import Batch
from customize.evaluation.answering import answers
from customize.evaluation.checks import check, parse_expect
from customize.interfaces.backend import Snapshot
from customize.interfaces.renderer import Message, Renderer

_AT_ONCE = 8  # choice items to a batch: bounds memory, and lets progress move
_MAX_TOKENS = 24

# Called with the number of items answered so far and of all.
Progress = Callable[[int, int], None]


@attrs.frozen
class GeneralItem:
    """A question with ``choices`` and the right one's index, or with an ``expect``."""

    id: str
    kind: str
    question: str
    choices: tuple[str, ...] = attrs.field(default=(), converter=tuple)
    answer: int = 0
    expect: dict[str, Any] | None = None


@attrs.frozen
class ItemResult:
    """What a model answered to an item, and whether it was right."""

    item: GeneralItem
    reply: str
    passed: bool


def items() -> tuple[GeneralItem, ...]:
    """All items, always in the same order."""
    text = files(__name__).joinpath("items.jsonl").read_text("utf-8")
    return tuple(GeneralItem(**json.loads(line)) for line in text.splitlines())


def run(
    snapshot: Snapshot, limit: int | None = None, progress: Progress | None = None
) -> list[ItemResult]:
    """Answers to the items, in order; with ``limit`` to that many, spread over all of them."""
    chosen = _spread(items(), limit)
    by_choice = [item for item in chosen if item.choices]
    by_reply = [item for item in chosen if not item.choices]
    results = []
    for start in range(0, len(by_choice), _AT_ONCE):
        results += _choose(snapshot, by_choice[start : start + _AT_ONCE])
        if progress is not None:
            progress(len(results), len(chosen))
    results += _reply(snapshot, by_reply)
    if progress is not None:
        progress(len(results), len(chosen))
    return results


def _spread(all_items: Sequence[GeneralItem], limit: int | None) -> list[GeneralItem]:
    if limit is None or limit >= len(all_items):
        return list(all_items)
    return [all_items[i * len(all_items) // limit] for i in range(limit)]


def _choose(snapshot: Snapshot, chosen: Sequence[GeneralItem]) -> list[ItemResult]:
    """The choice of the highest log-probability, end of turn included.

    Summed and not divided by length: a model that means a choice says it and stops, and no choice
    is much longer than the others of its item.
    """
    sequences, groups = [], []
    for number, item in enumerate(chosen):
        for choice in item.choices:
            sequences.append(_sequence(snapshot.renderer, item.question, choice))
            groups.append(number)
    batch = Batch.from_sequences(sequences, groups=groups)
    scores_S = batch.sum_by_sequence(snapshot.forward(batch).result())
    results = []
    for number, item in enumerate(chosen):
        best = int(scores_S[batch.groups == number].argmax())
        results.append(ItemResult(item, item.choices[best], best == item.answer))
    return results


def _sequence(
    renderer: Renderer, question: str, choice: str
) -> tuple[np.ndarray[Any, Any], dict[str, np.ndarray[Any, Any]]]:
    rendered = renderer.render([*_asked(question), {"role": "assistant", "content": choice}])
    return rendered.tokens, {"weights": rendered.weights}


def _reply(snapshot: Snapshot, chosen: Sequence[GeneralItem]) -> list[ItemResult]:
    said = answers(snapshot, [_asked(item.question) for item in chosen], max_tokens=_MAX_TOKENS)
    return [
        ItemResult(item, reply, check(parse_expect(item.expect, item.id), reply))
        for item, reply in zip(chosen, said, strict=True)
    ]


def _asked(question: str) -> list[Message]:
    return [{"role": "user", "content": question}]
