"""Words and vectors together: two rankings of one question become one. Knows no engine.

Shape legend: C chunks, D dimensions.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from customize._errors import DataError, OptionError
from customize.interfaces.index import Chunk, Encoder, Hit, Index, Vectors

RRF_K = 60  # of reciprocal rank fusion (Cormack, Clarke, Büttcher, SIGIR 2009)
_DEPTH = 50  # of each ranking, at least
_BATCH = 256
_WORDS, _VECTORS = "words", "vectors.safetensors"


class FusedIndex(Index):
    """An index of words beside one vector a chunk, all of which are compared with the query's."""

    def __init__(self, words: Index, encoder: Encoder) -> None:
        self.words = words
        self.encoder = encoder
        self._vectors_CD: Vectors = np.zeros((0, 0), np.float32)
        self._ids: list[str] = []
        self._tags: list[frozenset[str]] = []
        self._labels: tuple[list[frozenset[str]], npt.NDArray[np.intp]] | None = None

    def add(self, chunks: Iterable[Chunk]) -> None:
        chunks = list({chunk.id: chunk for chunk in chunks}.values())
        there = set(self._ids)
        new = [chunk for chunk in chunks if chunk.id not in there]
        if not new:
            return
        made_CD = self._encoded(new)
        self.words.add(new)
        kept = [self._vectors_CD] if self._ids else []
        self._vectors_CD = np.concatenate([*kept, made_CD])
        # New lists, since another encoder's index may hold those that were.
        self._ids = [*self._ids, *(chunk.id for chunk in new)]
        self._tags = [*self._tags, *(chunk.tags for chunk in new)]
        self._labels = None

    def delete(self, ids: Iterable[str]) -> None:
        gone = set(ids)
        self.words.delete(gone)
        kept = [place for place, id in enumerate(self._ids) if id not in gone]
        self._vectors_CD = self._vectors_CD[kept]
        self._ids = [self._ids[place] for place in kept]
        self._tags = [self._tags[place] for place in kept]
        self._labels = None

    def search(self, query: str, k: int, filter: Collection[str] | None = ()) -> list[Hit]:
        if k < 1:
            raise OptionError(f"k must be >= 1 (got {k})")
        self.check_filter(filter)
        depth = max(k, _DEPTH)
        told = self.words.search(query, depth, filter)
        # What an index fills up with, at the score 0, is no ranking.
        by_words = [hit.chunk.id for hit in told if hit.score != 0]
        scores = fused([by_words, self._nearest(query, depth, filter)])
        best = self.words.get(sorted(scores, key=lambda id: (-scores[id], id))[:k])
        # The tags beside the vectors may be damaged; a chunk's own are in its id.
        return [Hit(chunk, scores[chunk.id]) for chunk in best if _may_see(chunk, filter)]

    def asked_by(self, encoder: Encoder) -> FusedIndex:
        """The same words and vectors, for queries that ``encoder`` makes vectors of."""
        other = FusedIndex(self.words, encoder)
        other._vectors_CD, other._ids, other._tags = self._vectors_CD, self._ids, self._tags
        return other

    def encoded(self) -> tuple[Sequence[str], Vectors]:
        """The chunks' ids, and their vectors [C, D] in that order."""
        return self._ids, self._vectors_CD

    def get(self, ids: Iterable[str]) -> list[Chunk]:
        return self.words.get(ids)

    def chunks(self) -> Iterator[Chunk]:
        return self.words.chunks()

    def __len__(self) -> int:
        return len(self.words)

    def check(self) -> None:
        self.words.check()
        tags = {chunk.id: chunk.tags for chunk in self.words.chunks()}
        if len(self._ids) != len(tags) or dict(zip(self._ids, self._tags, strict=True)) != tags:
            raise DataError("the index is damaged: its vectors are of other chunks. Build it anew")
        if not np.isfinite(self._vectors_CD).all():
            raise DataError(
                "the index is damaged: its vectors hold what is no number. Build it anew"
            )

    @property
    def fingerprint(self) -> str:
        return self.words.fingerprint

    def save(self, folder: Path) -> None:
        from safetensors.numpy import save_file

        folder.mkdir(parents=True)
        self.words.save(folder / _WORDS)
        pairs = zip(self._ids, self._tags, strict=True)
        rows = json.dumps([[id, sorted(tags)] for id, tags in pairs])
        save_file({"vectors": self._vectors_CD}, folder / _VECTORS, {"rows": rows})

    @classmethod
    def load(cls, folder: Path) -> Self:
        raise OptionError("an index with vectors is opened by open_index, which knows its encoder")

    @classmethod
    def of(cls, folder: Path, words: type[Index], encoder: Encoder) -> Self:
        """What ``save`` wrote, with the class of its words' index and the encoder of its vectors.

        Raises:
            DataError: the folder does not hold such an index, or it is damaged.
        """
        from safetensors import SafetensorError, safe_open

        file = folder / _VECTORS
        fused = cls(words.load(folder / _WORDS), encoder)
        try:
            with safe_open(file, "np") as stored:
                fused._vectors_CD = stored.get_tensor("vectors")
                rows = json.loads(stored.metadata()["rows"])
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise DataError(f"{file} is damaged: {error}. Build the index anew") from error
        fused._ids = [id for id, _ in rows]
        fused._tags = [frozenset(tags) for _, tags in rows]
        if not len(fused._ids) == len(fused._vectors_CD) == len(fused.words):
            raise DataError(f"{file} is of other chunks. Build the index anew")
        return fused

    def _encoded(self, chunks: Sequence[Chunk]) -> Vectors:
        texts = [chunk.headed for chunk in chunks]
        batches = [texts[first : first + _BATCH] for first in range(0, len(texts), _BATCH)]
        return np.concatenate([self.encoder.encode_chunks(batch) for batch in batches])

    def _nearest(self, query: str, depth: int, filter: Collection[str] | None) -> list[str]:
        if not self._ids:
            return []
        whole = query.encode("utf-8", "replace").decode()  # tokenizers refuse half a character
        [query_D] = self.encoder.encode_queries([whole])
        scores_C = self._vectors_CD @ query_D
        if filter is not None:
            scores_C[self._hidden(set(filter))] = -np.inf
        nearest = np.arange(len(scores_C))
        if len(scores_C) > depth:
            nearest = np.argpartition(-scores_C, depth)[:depth]
        nearest = nearest[np.lexsort((nearest, -scores_C[nearest]))]
        return [self._ids[place] for place in nearest if scores_C[place] > -np.inf]

    def _hidden(self, asker: set[str]) -> npt.NDArray[np.bool_]:
        """Of each chunk whether the asker may not see it: looked up once for equal tags."""
        if self._labels is None:
            known = {tags: label for label, tags in enumerate(dict.fromkeys(self._tags))}
            self._labels = list(known), np.array([known[tags] for tags in self._tags])
        kinds, labels_C = self._labels
        hidden: npt.NDArray[np.bool_] = np.array([bool(t) and not t & asker for t in kinds])
        return hidden[labels_C]


def vectors_hash(folder: Path) -> str:
    """The sha256 of the file that `FusedIndex.save` wrote beside the words.

    Raises:
        OSError: it cannot be read.
    """
    with (folder / _VECTORS).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def fused(rankings: Iterable[Sequence[str]]) -> dict[str, float]:
    """Each id's score: the sum of 1 / (60 + its rank) over the rankings that have it."""
    scores: dict[str, float] = {}
    for ranking in rankings:
        for rank, id in enumerate(ranking, start=1):
            scores[id] = scores.get(id, 0.0) + 1 / (RRF_K + rank)
    return scores


def _may_see(chunk: Chunk, asker: Collection[str] | None) -> bool:
    return asker is None or not chunk.tags or not chunk.tags.isdisjoint(asker)
