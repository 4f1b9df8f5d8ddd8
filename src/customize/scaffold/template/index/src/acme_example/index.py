"""The index: chunks, and the words by which they are found. Knows no model and no prompt."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Self

from customize import Chunk, DataError, Hit, Index, OptionError, index_terms, query_terms

_FILE = "chunks.json"


class Example(Index):
    """Chunks by the words that they share with a question: the rarer a word, the more it counts.

    Every chunk is looked at for every question. Put your engine in the place of the two dicts.
    """

    def __init__(self) -> None:
        self._chunks: dict[str, Chunk] = {}
        self._terms: dict[str, frozenset[str]] = {}

    def add(self, chunks: Iterable[Chunk]) -> None:
        for chunk in list(chunks):  # all of them, or none where that raises
            self._chunks[chunk.id] = chunk
            self._terms[chunk.id] = frozenset(index_terms(chunk.headed))

    def delete(self, ids: Iterable[str]) -> None:
        for id in ids:
            self._chunks.pop(id, None)
            self._terms.pop(id, None)

    def search(self, query: str, k: int, filter: Collection[str] | None = ()) -> list[Hit]:
        if k < 1:
            raise OptionError(f"k must be >= 1 (got {k})")
        self.check_filter(filter)
        weights = {term: self._weight(term) for term in query_terms(query)}
        scores = {
            id: sum(weight for term, weight in weights.items() if term in self._terms[id])
            for id, chunk in self._chunks.items()
            if filter is None or not chunk.tags or chunk.tags & set(filter)
        }
        best = sorted((id for id in scores if scores[id]), key=lambda id: (-scores[id], id))
        return [Hit(self._chunks[id], scores[id]) for id in best[:k]]

    def get(self, ids: Iterable[str]) -> list[Chunk]:
        return [self._chunks[id] for id in ids if id in self._chunks]

    def chunks(self) -> Iterator[Chunk]:
        yield from sorted(self._chunks.values(), key=lambda one: (one.document, one.span, one.id))

    def __len__(self) -> int:
        return len(self._chunks)

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        rows = [[c.document, c.text, c.span, c.heading, sorted(c.tags)] for c in self.chunks()]
        (folder / _FILE).write_text(json.dumps(rows), "utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        index = cls()
        try:
            rows = json.loads((folder / _FILE).read_text("utf-8"))
            index.add(Chunk(d, t, (a, b), tuple(h), tags) for d, t, (a, b), h, tags in rows)
        except (OSError, ValueError, TypeError) as error:
            raise DataError(f"there is no whole index in {folder}: {error}") from error
        return index

    def _weight(self, term: str) -> float:
        having = sum(term in terms for terms in self._terms.values())
        return math.log(1 + len(self._terms) / having) if having else 0.0
