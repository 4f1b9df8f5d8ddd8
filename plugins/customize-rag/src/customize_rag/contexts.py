"""The passages that are shown for a question, and what is asked about them.

Everything is a function of the pairs, the index, the plan and the generator. Knows no model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import attrs
import numpy as np

from customize import Chunk, Index
from customize_rag.changing import beside, changed, disputed, without
from customize_rag.evidence import holds
from customize_rag.orders import ordered
from customize_rag.pairs import Pair, none_holds, shows
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


class Pool:
    """The questions that there are, and what became of them.

    asked: by their numbers. due: how many rows of a kind were to be made, of those that a question
    was left for; missing: how many of them could not be.
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
        self.due, self.missing = Counter[str](), Counter[str]()

    def drawn(self, rng: np.random.Generator) -> Pair:
        """Any pair."""
        return self.pairs[int(rng.integers(len(self.pairs)))]

    def count(self, kind: str, is_made: bool) -> None:
        self.due[kind] += 1
        self.missing[kind] += not is_made


class Context:
    """The passages found for one question, and what else is asked about them.

    shown: the chunks as the index has them. texts: by the id of one, what it says in this row.
    changed: answers that are told with another number.
    """

    def __init__(self, pool: Pool, lead: int, rng: np.random.Generator) -> None:
        self._pool = pool
        self._plan = pool.plan
        self._rng = rng
        self._lead = lead
        pair = pool.pairs[lead]
        found = [hit.chunk for hit in pool.index.search(pair.question, self._plan.k + 1, None)]
        others = [chunk for chunk in found if chunk != pair.chunk]
        self._asked: list[Asked] = []
        self._changed: set[str] = set()
        self._kinds = [self._kind() for _ in range(self._plan.per_context)]
        if self._kinds[0] == NEAR_MISS and self._rng.random() < _MINED and others:
            pool.asked.add(lead)
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
        return passages, [one for one in self._asked if self._is_kept(one, passages)]

    def _drawn(self, kind: str) -> Asked | None:
        if kind == OFF_TOPIC:
            if (stranger := self._stranger()) is not None:
                return Asked(OFF_TOPIC, stranger)
            self._pool.count(OFF_TOPIC, is_made=False)
            return None
        if kind == NEAR_MISS:
            untold = self._untold()
            return None if untold is None else Asked(NEAR_MISS, untold)
        pair = self._take(self._inside())
        if pair is None:
            return None
        other = self._untold() if kind == PARTIAL else None
        if kind == PARTIAL and other is None:
            self._pool.count(PARTIAL, is_made=False)
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
        """The pair, now and then with another number, or with one that does not hold beside it.

        What a heading tells stays: passages of one document share it.
        """
        if any(holds(pair.answer, title) for title in pair.chunk.heading):
            return pair
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
        if self._lead not in self._pool.asked:
            return [self._lead]
        return [n for chunk in self._shown for n in self._pool.of_chunk.get(chunk.id, ())]

    def _outside(self) -> Sequence[int]:
        """Those about the same documents and other passages."""
        documents = dict.fromkeys(chunk.document for chunk in self._shown)
        return [
            number
            for document in documents
            for number in self._pool.of_document.get(document, ())
            if self._pool.pairs[number].chunk.id not in self._texts
        ]

    def _stranger(self) -> Pair | None:
        pair = self._pool.drawn(self._rng)
        documents = {chunk.document for chunk in self._shown}
        return None if pair.chunk.document in documents else pair

    def _take(self, among: Sequence[int]) -> Pair | None:
        left = [number for number in among if number not in self._pool.asked]
        if not left:
            return None
        chosen = left[int(self._rng.integers(len(left)))]
        self._pool.asked.add(chosen)
        return self._pool.pairs[chosen]

    def _is_kept(self, one: Asked, passages: Sequence[Chunk]) -> bool:
        is_true = self._is_true(one, passages)
        self._pool.count(one.kind, is_true)
        return is_true

    def _is_true(self, one: Asked, passages: Sequence[Chunk]) -> bool:
        """Nothing is answered that is not there, and nothing is denied that is."""
        if one.kind not in (ANSWERABLE, PARTIAL):
            return self._is_untold(one.pair, passages)
        told = any(shows(chunk, one.pair.quote) for chunk in passages)
        return told and (one.other is None or self._is_untold(one.other, passages))

    def _is_untold(self, pair: Pair, passages: Sequence[Chunk]) -> bool:
        """No passage has the answer, nor another number in its place."""
        return pair.answer not in self._changed and none_holds(pair.answer, passages)
