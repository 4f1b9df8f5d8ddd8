"""Passages and the questions asked about them: the rows, made one after the other.

Everything is a function of the pairs, the index and the plan. Knows no model.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import attrs
import numpy as np

from customize import Chunk, Index
from customize_rag.changing import beside, changed, disputed, without
from customize_rag.orders import ordered
from customize_rag.pairs import Pair, none_holds
from customize_rag.plan import RowPlan

ANSWERABLE, NEAR_MISS, OFF_TOPIC = "answerable", "near miss", "off topic"
EMPTY, PARTIAL = "empty", "partial"
KINDS = (ANSWERABLE, NEAR_MISS, OFF_TOPIC, EMPTY, PARTIAL)
# Of near misses: as if the retriever had not brought the chunk, where the first question is one;
# about what another passage of the same document tells. Else the sentence is taken out, or another
# that does not answer stands in its place, so that nothing but the passage says that there is no
# answer.
_MINED, _OUTSIDE = 0.3, 0.3


@attrs.frozen
class Asked:
    """A question and which kind it is. other: what is asked beside it, and not told (partial)."""

    kind: str
    pair: Pair
    other: Pair | None = None


class Rows:
    """Chat rows from pairs, a question each: every pair is asked about once.

    Rows about the same passages follow each other, and share their number as ``together``.
    """

    def __init__(self, plan: RowPlan, pairs: Sequence[Pair], index: Index) -> None:
        self.plan = plan
        self.pairs = pairs
        self.index = index
        self.of_chunk: dict[str, list[int]] = {}
        self.of_document: dict[str, list[int]] = {}
        for number, pair in enumerate(pairs):
            self.of_chunk.setdefault(pair.chunk.id, []).append(number)
            self.of_document.setdefault(pair.chunk.document, []).append(number)
        self.asked: set[int] = set()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        self.asked = set()
        every = self._every()
        yield from itertools.islice(every, self.plan.max_rows) if self.plan.max_rows else every

    def _every(self) -> Iterator[dict[str, Any]]:
        for number, lead in enumerate(np.random.default_rng(0).permutation(len(self.pairs))):
            if int(lead) not in self.asked:
                yield from self._around(int(lead), number, np.random.default_rng([0, number]))

    def _around(self, lead: int, number: int, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
        """The rows about the passages of a question, and now and then one without passages."""
        passages, asked = _Context(self, lead, rng).asked()
        for one in asked:
            yield self._row(passages, one, number)
        due = len(asked) * self.plan.empty / (1 - self.plan.empty)
        for _ in range(int(due + rng.random())):
            yield self._row((), Asked(EMPTY, self.drawn(rng)), None)

    def drawn(self, rng: np.random.Generator) -> Pair:
        """Any pair."""
        return self.pairs[int(rng.integers(len(self.pairs)))]

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
        place = next(n for n, chunk in enumerate(passages, 1) if one.pair.quote in chunk.text)
        missing = one.other.question if one.other else None
        return self.plan.answer(one.pair.answer, [(one.pair.quote, place)], missing)


class _Context:
    """The passages found for one question, and what else is asked about them.

    shown: the chunks as the index has them. texts: by the id of one, what it says in this row.
    changed: answers that are told with another number.
    """

    def __init__(self, rows: Rows, lead: int, rng: np.random.Generator) -> None:
        self._rows = rows
        self._plan = rows.plan
        self._rng = rng
        self._lead = lead
        pair = rows.pairs[lead]
        found = [hit.chunk for hit in rows.index.search(pair.question, self._plan.k + 1, None)]
        others = [chunk for chunk in found if chunk != pair.chunk]
        self._asked: list[Asked] = []
        self._changed: set[str] = set()
        self._kinds = [self._kind() for _ in range(self._plan.per_context)]
        if self._kinds[0] == NEAR_MISS and self._rng.random() < _MINED and others:
            rows.asked.add(lead)
            self._asked.append(Asked(NEAR_MISS, pair))
            found = others
        elif pair.chunk not in found[: self._plan.k]:
            found = [pair.chunk, *others]
        self._shown = found[: self._plan.k]
        self._texts = {chunk.id: chunk.text for chunk in self._shown}

    def asked(self) -> tuple[Sequence[Chunk], Sequence[Asked]]:
        """The passages as they are shown, and what is asked about them."""
        for kind in self._kinds[len(self._asked) :]:
            self._asked += [one] if (one := self._drawn(kind)) is not None else []
        if self._rng.random() < self._plan.orders and self._shown:
            giving = self._shown[int(self._rng.integers(len(self._shown)))].id
            self._texts[giving] = ordered(self._texts[giving], self._rng)
        order = self._rng.permutation(len(self._shown))
        passages = [
            attrs.evolve(chunk, text=self._texts[chunk.id])
            for chunk in (self._shown[n] for n in order)
        ]
        return passages, [one for one in self._asked if self._is_true(one, passages)]

    def _drawn(self, kind: str) -> Asked | None:
        if kind == OFF_TOPIC:
            stranger = self._stranger()
            return None if stranger is None else Asked(OFF_TOPIC, stranger)
        if kind == NEAR_MISS:
            untold = self._untold()
            return None if untold is None else Asked(NEAR_MISS, untold)
        pair = self._take(self._inside())
        if pair is None:
            return None
        other = self._untold() if kind == PARTIAL else None
        return Asked(ANSWERABLE if other is None else PARTIAL, self._fresh(pair), other)

    def _kind(self) -> str:
        drawn = self._rng.random() * (1 - self._plan.empty)
        for kind, share in (
            (NEAR_MISS, self._plan.near_miss),
            (OFF_TOPIC, self._plan.off_topic),
            (PARTIAL, self._plan.partial),
        ):
            if drawn < share:
                return kind
            drawn -= share
        return ANSWERABLE

    def _untold(self) -> Pair | None:
        """What a chunk of the same document tells that is not shown, or what a sentence told.

        That is taken out, or another that does not answer is in its place.
        """
        is_outside = self._rng.random() < _OUTSIDE
        pair = self._take(self._outside()) if is_outside else None
        if pair is None and (pair := self._take(self._inside())) is not None:
            text = self._texts[pair.chunk.id]
            self._texts[pair.chunk.id] = without(pair.quote, text, self._disputed(pair, text) or "")
        return pair

    def _fresh(self, pair: Pair) -> Pair:
        """The pair, now and then with another number, or with one that does not hold beside it."""
        if sum(text.count(pair.quote) for text in self._texts.values()) != 1:
            return pair
        text = self._texts[pair.chunk.id]
        if self._rng.random() < self._plan.counterfactual:
            self._changed.add(pair.answer)
            other = changed(pair, self._rng)
            text, pair = text.replace(pair.quote, other.quote), other
        if (said := self._disputed(pair, text)) is not None:
            text = beside(pair.quote, text, said, self._rng)
        self._texts[pair.chunk.id] = text
        return pair

    def _disputed(self, pair: Pair, text: str) -> str | None:
        is_due = self._rng.random() < self._plan.disputed
        return disputed(pair, text, self._rng) if is_due else None

    def _inside(self) -> Sequence[int]:
        """The first question, and when that is asked those about the same passages."""
        if self._lead not in self._rows.asked:
            return [self._lead]
        return [n for chunk in self._shown for n in self._rows.of_chunk.get(chunk.id, ())]

    def _outside(self) -> Sequence[int]:
        """Those about the same documents and other passages."""
        documents = dict.fromkeys(chunk.document for chunk in self._shown)
        return [
            number
            for document in documents
            for number in self._rows.of_document.get(document, ())
            if self._rows.pairs[number].chunk.id not in self._texts
        ]

    def _stranger(self) -> Pair | None:
        pair = self._rows.drawn(self._rng)
        documents = {chunk.document for chunk in self._shown}
        return None if pair.chunk.document in documents else pair

    def _take(self, among: Sequence[int]) -> Pair | None:
        left = [number for number in among if number not in self._rows.asked]
        if not left:
            return None
        chosen = left[int(self._rng.integers(len(left)))]
        self._rows.asked.add(chosen)
        return self._rows.pairs[chosen]

    def _is_true(self, one: Asked, passages: Sequence[Chunk]) -> bool:
        """Nothing is answered that is not there, and nothing is denied that is."""
        if one.kind not in (ANSWERABLE, PARTIAL):
            return self._is_untold(one.pair, passages)
        told = any(one.pair.quote in chunk.text for chunk in passages)
        return told and (one.other is None or self._is_untold(one.other, passages))

    def _is_untold(self, pair: Pair, passages: Sequence[Chunk]) -> bool:
        """No passage has the answer, nor another number in its place."""
        return pair.answer not in self._changed and none_holds(pair.answer, passages)
