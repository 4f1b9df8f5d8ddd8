"""Questions with their answers, and the chunk that each answer stands in. Knows no model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs

from customize import Chunk, Grounding, Index
from customize_rag.evidence import holds, quoted

_AMONG = 20  # hits that a chunk is looked for in


@attrs.frozen
class Pair:
    """quote: the words of the chunk that are quoted for the answer."""

    question: str
    answer: str
    chunk: Chunk
    quote: str


@attrs.frozen
class LeftOut:
    """A question that cannot be used, and why."""

    question: str
    reason: str


class Grounder:
    """Finds the chunk that an answer stands in: a question without one is not learnt from."""

    def __init__(self, index: Index, quote_words: int) -> None:
        self._index = index
        self._quote_words = quote_words
        self._by_document: dict[str, list[Chunk]] = {}
        for chunk in index.chunks():
            self._by_document.setdefault(chunk.document, []).append(chunk)

    def ground(self, row: Mapping[str, Any]) -> Pair | LeftOut:
        """``row`` has ``question`` and ``answer``, and may name its ``document``."""
        question, answer, document = str(row["question"]), str(row["answer"]), row.get("document")
        if document is not None and str(document) not in self._by_document:
            return LeftOut(question, f"there is no document {document!r}")
        holding = self._holding(question, answer, document)
        for chunk in holding:
            quote = quoted(answer, chunk.text, question, self._quote_words)
            if quote is not None:
                return Pair(question, answer, chunk, quote)
        return LeftOut(question, _why_not(answer, document, holding))

    def _holding(self, question: str, answer: str, document: object) -> list[Chunk]:
        """Chunks with the answer in them, the likeliest first."""
        own = None if document is None else self._by_document[str(document)]
        mine = [chunk for chunk in own or () if holds(answer, chunk.text)]
        if own is not None and len(mine) < 2:
            return mine
        hits = [hit.chunk for hit in self._index.search(question, _AMONG, None)]
        found = [chunk for chunk in hits if holds(answer, chunk.text)]
        if own is None:
            return found
        return [c for c in found if c in mine] + [c for c in mine if c not in found]


def _why_not(answer: str, document: object, holding: Sequence[Chunk]) -> str:
    """Why there is nothing to quote for the answer."""
    if holding:
        told = f"{holding[0].document} says {answer!r} in more than one sentence"
        return f"{told}: give a shorter answer"
    if document is None:
        told = f"no document that the question finds says {answer!r} in these words"
        return f"{told}: name its document"
    return f"{document} does not say {answer!r} in these words"


def grounded(
    rows: Iterable[Mapping[str, Any]], index: Index, quote_words: int
) -> tuple[Sequence[Pair], Sequence[LeftOut]]:
    """The pairs that can be learnt from, and those that cannot."""
    grounder = Grounder(index, quote_words)
    found = [grounder.ground(row) for row in rows]
    pairs = [one for one in found if isinstance(one, Pair)]
    return pairs, [one for one in found if isinstance(one, LeftOut)]


def shows(chunk: Chunk, quote: str) -> bool:
    """Whether the passage, as it is shown, has the quote in it word for word."""
    return " ".join(quote.split()) in Grounding.passage(chunk)


def none_holds(answer: str, chunks: Iterable[Chunk]) -> bool:
    """Whether no passage, as it is shown, has the answer in it: headings are shown too."""
    return not any(holds(answer, Grounding.passage(chunk)) for chunk in chunks)
