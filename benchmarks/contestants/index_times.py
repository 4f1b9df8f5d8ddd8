"""One index, timed: built of generated chunks, saved, searched, changed, saved anew and loaded.

Given ``{"engine": …, "chunks": N, "work": FOLDER}``; one line of JSON at the end.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import shutil
import sys
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from memory import peak_mb

from customize import Chunk, Encoder, Hit, Index, hit_at_k
from customize.plugins import load
from customize.retrieval.fusion import FusedIndex

VOCABULARY, DIMENSIONS, QUESTIONS, WARM = 30_000, 384, 200, 10
K = 10


class Remembered(Encoder):
    """Vectors that were drawn beforehand, by the text they stand for."""

    def __init__(self) -> None:
        self.known: dict[str, Any] = {}

    @property
    def fingerprint(self) -> str:
        return "drawn"

    def encode_queries(self, texts: Sequence[str]) -> Any:
        return np.stack([self.known[text] for text in texts])

    def encode_chunks(self, texts: Sequence[str]) -> Any:
        return self.encode_queries(texts)


class Vectors(FusedIndex):
    """Its vectors alone: the time that they add to any index of words."""

    def search(self, query: str, k: int, filter: Collection[str] | None = ()) -> list[Hit]:
        return [Hit(chunk, 0.0) for chunk in self.words.get(self._nearest(query, k, filter))]


def drawn_chunks(count: int) -> list[Chunk]:
    """Chunks of 20 to 60 words, the n-th word of the vocabulary as often as 1 / n ** 1.05."""
    rng = np.random.default_rng(0)
    weights = 1 / np.arange(1, VOCABULARY + 1) ** 1.05
    words = [hashlib.sha256(str(number).encode()).hexdigest()[:7] for number in range(VOCABULARY)]
    ends = rng.integers(20, 61, count).cumsum().tolist()
    drawn = rng.choice(VOCABULARY, ends[-1], p=weights / weights.sum()).tolist()
    chunks = []
    for number, (start, end) in enumerate(itertools.pairwise([0, *ends])):
        text = " ".join(words[place] for place in drawn[start:end])
        tags = frozenset({"staff"}) if number % 3 == 0 else frozenset[str]()
        chunks.append(Chunk(f"{number // 20}.md", text, (start, start + len(text)), tags=tags))
    return chunks


def questions_of(chunks: Sequence[Chunk], seed: int) -> list[tuple[str, str]]:
    """Six words of a chunk that everyone may see, and its id."""
    rng = np.random.default_rng(seed)
    seen = [chunk for chunk in chunks if not chunk.tags]
    picked = rng.choice(len(seen), QUESTIONS + WARM)
    return [(" ".join(rng.choice(seen[n].text.split(), 6, False)), seen[n].id) for n in picked]


def remember(
    encoder: Remembered, chunks: Sequence[Chunk], asked: Sequence[tuple[str, str]]
) -> None:
    rng = np.random.default_rng(2)
    drawn = rng.normal(size=(len(chunks), DIMENSIONS)).astype(np.float32)
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    encoder.known = {chunk.headed: vector for chunk, vector in zip(chunks, drawn, strict=True)}
    by_id = {chunk.id: vector for chunk, vector in zip(chunks, drawn, strict=True)}
    for question, gold in asked:
        noisy = by_id[gold] + rng.normal(0, 0.5 / DIMENSIONS**0.5, DIMENSIONS)
        encoder.known[question] = np.asarray(noisy / np.linalg.norm(noisy), np.float32)


def timed(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def search_ms(
    index: Index, asked: Sequence[tuple[str, str]], asker: Collection[str] | None
) -> tuple[list[float], float]:
    """Milliseconds of each question after the first few, and the share of hits."""
    times, hits = [], []
    for number, (question, gold) in enumerate(asked):
        start = time.perf_counter()
        found = index.search(question, K, asker)
        if number >= WARM:
            times.append(1000 * (time.perf_counter() - start))
            hits.append(hit_at_k([hit.chunk.id for hit in found], {gold}, K))
    return times, float(np.mean(hits))


def main() -> None:
    given = json.loads(sys.argv[1])
    chunks = drawn_chunks(given["chunks"])
    more = len(chunks) // 100
    asked, others = (questions_of(chunks[more:], seed) for seed in (1, 3))
    encoder = Remembered()
    engine = given["engine"]
    kind = load("index", "sqlite" if engine in ("vectors", "fused") else engine)
    index: Index = kind()
    if engine in ("vectors", "fused"):
        remember(encoder, chunks, asked + others)
        index = {"vectors": Vectors, "fused": FusedIndex}[engine](index, encoder)
    folder = Path(given["work"], engine)
    indexing = timed(lambda: index.add(chunks[more:]))
    saving = timed(lambda: index.save(folder))
    shutil.rmtree(folder)
    every, hit = search_ms(index, asked, None)
    # Others, for an engine may keep what it made of words that it was asked for.
    filtered, _ = search_ms(index, others, ())
    adding = timed(lambda: index.add(chunks[:more]))
    deleting = timed(lambda: index.delete([chunk.id for chunk in chunks[:more]]))
    again = timed(lambda: index.save(folder))
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    start = time.perf_counter()
    loaded = opened(folder, kind, encoder if encoder.known else None)
    loading = time.perf_counter() - start
    first = timed(lambda: loaded.search(others[0][0], K))
    shutil.rmtree(folder)
    found = {
        "p50_ms": float(np.percentile(every, 50)),
        "p95_ms": float(np.percentile(every, 95)),
        "filtered_p95_ms": float(np.percentile(filtered, 95)),
        "hit_at_10": hit,
        "first_search_ms": 1000 * first,
        "chunks_per_second": (len(chunks) - more) / (indexing + saving),
        "add_seconds": adding,
        "delete_seconds": deleting,
        "save_seconds": saving,
        "save_changed_seconds": again,
        "load_seconds": loading,
        "disk_mb": size / 1e6,
        "peak_mb": peak_mb(),
    }
    print(json.dumps(found), flush=True)


def opened(folder: Path, kind: type[Index], encoder: Encoder | None) -> Index:
    """The index in the folder, after it was counted."""
    index = kind.load(folder) if encoder is None else FusedIndex.of(folder, kind, encoder)
    len(index)
    return index


if __name__ == "__main__":
    main()
