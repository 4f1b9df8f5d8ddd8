"""Chunks of few words, and an index of some, for the tests of the default index."""

from __future__ import annotations

import random

import attrs

from customize import Chunk
from customize.retrieval.sqlite_index import SqliteIndex

WORDS = ["oven", "dough", "basil", "monday", "tuesday", "river", "coal", "lamp", "violin", "salt"]


def chunk(text: str, document: str = "a.md", start: int = 0, *tags: str) -> Chunk:
    return Chunk(document, text, (start, start + len(text)), tags=frozenset(tags))


def indexed(*chunks: Chunk) -> SqliteIndex:
    index = SqliteIndex()
    index.add(chunks)
    return index


def some_chunks(seed: int, count: int) -> list[Chunk]:
    draw = random.Random(seed)
    texts = [" ".join(draw.choices(WORDS, k=draw.randint(1, 9))) for _ in range(count)]
    tags = [draw.sample(["hr", "board"], draw.randint(0, 2)) for _ in range(count)]
    headings = [tuple(draw.choices(WORDS, k=number % 3)) for number in range(count)]
    chunks = [
        chunk(text, f"{number % 7}.md", number, *own)
        for number, (text, own) in enumerate(zip(texts, tags, strict=True))
    ]
    return [attrs.evolve(c, heading=h) for c, h in zip(chunks, headings, strict=True)]
