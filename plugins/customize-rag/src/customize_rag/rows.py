"""Passages and the questions asked about them: the rows, made one after the other.

Everything is a function of the pairs, the index and the plan. Knows no model.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from customize import Chunk, Index
from customize_rag.contexts import (
    ANSWERABLE,
    EMPTY,
    NEAR_MISS,
    OFF_TOPIC,
    PARTIAL,
    Asked,
    Context,
    Pool,
)
from customize_rag.pairs import Pair, shows
from customize_rag.plan import RowPlan

# Kinds that may be impossible: the option of their share, and what to do where they are.
_SHORT = {
    NEAR_MISS: ("near_miss", "other passages that are shown answer too: lower k"),
    OFF_TOPIC: (
        "off_topic",
        "the passages that are shown are of nearly all documents: lower k, or give more documents",
    ),
    PARTIAL: (
        "partial",
        "the passages answer what else could be asked, or nothing else can: give more questions",
    ),
}


class Rows:
    """Chat rows from pairs, a question each: every pair is asked about once.

    Rows about the same passages follow each other, and share their number as ``together``.
    """

    def __init__(self, plan: RowPlan, pairs: Sequence[Pair], index: Index) -> None:
        self.plan = plan
        self.pairs = pairs
        self.index = index
        self._pool = Pool(plan, pairs, index)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        self._pool = Pool(self.plan, self.pairs, self.index)
        every = self._every(self._pool)
        yield from itertools.islice(every, self.plan.max_rows) if self.plan.max_rows else every

    def shortfalls(self) -> Iterator[str]:
        """Of the rows that were made last: which share could mostly not be met, and why."""
        for kind, (name, why) in _SHORT.items():
            due, missing = self._pool.due[kind], self._pool.missing[kind]
            if 2 * missing > due:
                yield (
                    f"{name}: of {due} rows {missing} could not be made, as {why}, or set {name}=0"
                )

    def _every(self, pool: Pool) -> Iterator[dict[str, Any]]:
        for number, lead in enumerate(np.random.default_rng(0).permutation(len(self.pairs))):
            if int(lead) not in pool.asked:
                rng = np.random.default_rng([0, number])
                yield from self._around(pool, int(lead), number, rng)

    def _around(
        self, pool: Pool, lead: int, number: int, rng: np.random.Generator
    ) -> Iterator[dict[str, Any]]:
        """The rows about the passages of a question, and now and then one without passages."""
        passages, asked = Context(pool, lead, rng).asked()
        for one in asked:
            yield self._row(passages, one, number)
        due = len(asked) * self.plan.empty / (1 - self.plan.empty)
        for _ in range(int(due + rng.random())):
            yield self._row((), Asked(EMPTY, pool.drawn(rng)), None)

    def _row(self, passages: Sequence[Chunk], one: Asked, number: int | None) -> dict[str, Any]:
        question = one.pair.question
        question = f"{question} {one.other.question}" if one.other else question
        answer = {"role": "assistant", "content": self._answer(one, passages)}
        return {
            "messages": [*self.plan.messages(question, passages), answer],
            "together": number,
            "kind": one.kind,
            "sources": [chunk.document for chunk in passages],
        }

    def _answer(self, one: Asked, passages: Sequence[Chunk]) -> str:
        if one.kind not in (ANSWERABLE, PARTIAL):
            return self.plan.abstention
        place = next(n for n, chunk in enumerate(passages, 1) if shows(chunk, one.pair.quote))
        missing = one.other.question if one.other else None
        return self.plan.answer(one.pair.answer, [(one.pair.quote, place)], missing)
