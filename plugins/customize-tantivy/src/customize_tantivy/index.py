"""The index in Tantivy: BM25 over terms. Knows no files but its own.

A document of Tantivy is a chunk: its id; its tags; its terms, which are ours, so that Tantivy takes
them apart at spaces alone; and the chunk as JSON, which is kept and not looked into.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

import tantivy
from tantivy import Occur, Query

from customize import Chunk, DataError, Hit, Index, OptionError, index_terms, query_terms

_HEAP = 64_000_000  # bytes that a writer gathers before it writes
_EVERYONE = "*"  # in place of tags; theirs begin with another sign
_MOST_TERMS = 64  # of a question; the rarest
_COMMON = 0.6  # of the chunks: a term in more of them takes half of a search and tells nothing
_FEW_CHUNKS = 1000  # among which a common term costs nothing
_LEAST_TERMS = 2  # the rarest, which are never left out
_FREQ = "freq"  # how often a term is there is kept, and not where


def _schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    builder.add_text_field("id", tokenizer_name="raw", index_option="basic")
    builder.add_text_field("tags", tokenizer_name="raw", index_option="basic")
    builder.add_text_field("terms", tokenizer_name="whitespace", index_option=_FREQ)
    builder.add_bytes_field("chunk", stored=True)
    return builder.build()


_SCHEMA = _schema()


class TantivyIndex(Index):
    """Chunks by their terms. A loaded one is searched where it lies, and copied when it changes."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._engine = tantivy.Index(_SCHEMA)
        self._is_own = True

    def add(self, chunks: Iterable[Chunk]) -> None:
        given = {chunk.id: chunk for chunk in chunks}
        with self._lock:
            new = list(given.values()) if not len(self) else self._new(given)
            if new:
                self._make_own()
                _write(self._engine, new)

    def delete(self, ids: Iterable[str]) -> None:
        with self._lock:
            self._make_own()
            writer = self._engine.writer(_HEAP, 1)
            for id in ids:
                writer.delete_documents_by_term("id", id)
            _finish(self._engine, writer)

    def search(self, query: str, k: int, filter: Collection[str] | None = ()) -> list[Hit]:
        if k < 1:
            raise OptionError(f"k must be >= 1 (got {k})")
        self.check_filter(filter)
        searcher = self._engine.searcher()
        counts = {term: searcher.doc_freq("terms", term) for term in query_terms(query)}
        rarest = sorted((t for t in counts if counts[t]), key=counts.__getitem__)[:_MOST_TERMS]
        if not rarest:
            return []
        most = max(_COMMON * searcher.num_docs, _FEW_CHUNKS)
        telling = [t for place, t in enumerate(rarest) if place < _LEAST_TERMS or counts[t] <= most]
        # Within the query, so that what the asker may not see takes no place among the k.
        wanted = _visible(_any(_term("terms", term) for term in telling), filter)
        hits = [Hit(chunk, score) for score, chunk in _found(searcher, wanted, k)]
        return sorted(hits, key=lambda hit: (-hit.score, hit.chunk.id))

    def get(self, ids: Iterable[str]) -> list[Chunk]:
        searcher = self._engine.searcher()
        return [chunk for id in ids for _, chunk in _found(searcher, _term("id", id), 1)]

    def chunks(self) -> Iterator[Chunk]:
        yield from sorted(self._every(), key=lambda one: (one.document, one.span, one.id))

    def __len__(self) -> int:
        return int(self._engine.searcher().num_docs)

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        # Written anew, so that what was deleted is in no file.
        _write(tantivy.Index(_SCHEMA, path=str(folder)), self.chunks())

    @classmethod
    def load(cls, folder: Path) -> Self:
        index = cls()
        try:
            index._engine = tantivy.Index.open(str(folder))
            len(index)
        except (OSError, ValueError) as error:
            raise DataError(f"there is no whole index in {folder}: {error}") from error
        index._is_own = False
        return index

    def _new(self, given: Mapping[str, Chunk]) -> list[Chunk]:
        searcher = self._engine.searcher()
        return [one for id, one in given.items() if not _found(searcher, _term("id", id), 1)]

    def _every(self) -> list[Chunk]:
        searcher = self._engine.searcher()
        return [chunk for _, chunk in _found(searcher, Query.all_query(), max(1, len(self)))]

    def _make_own(self) -> None:
        """In memory, where this was loaded: its folder stays as it is."""
        if not self._is_own:
            own = tantivy.Index(_SCHEMA)
            _write(own, self._every())
            self._engine, self._is_own = own, True


def _write(engine: tantivy.Index, chunks: Iterable[Chunk]) -> None:
    writer = engine.writer(_HEAP, 1)
    for chunk in chunks:
        writer.add_document(_document(chunk))
    _finish(engine, writer)


def _finish(engine: tantivy.Index, writer: tantivy.IndexWriter) -> None:
    writer.commit()
    writer.wait_merging_threads()
    engine.reload()


def _document(chunk: Chunk) -> tantivy.Document:
    kept = [chunk.document, chunk.text, chunk.span, chunk.heading, sorted(chunk.tags)]
    made = tantivy.Document()
    made.add_text("id", chunk.id)
    for tag in [f"={tag}" for tag in chunk.tags] or [_EVERYONE]:
        made.add_text("tags", tag)
    made.add_text("terms", " ".join(index_terms(chunk.headed)))
    made.add_bytes("chunk", json.dumps(kept).encode())
    return made


def _chunk(document: tantivy.Document) -> Chunk:
    name, text, (start, stop), heading, tags = json.loads(document["chunk"][0])
    return Chunk(name, text, (start, stop), tuple(heading), tags)


def _found(searcher: tantivy.Searcher, query: Query, k: int) -> list[tuple[float, Chunk]]:
    hits = searcher.search(query, k, count=False).hits
    return [(score, _chunk(searcher.doc(place))) for score, place in hits]


def _term(field: str, term: str) -> Query:
    """A term as it is: nothing in it is syntax."""
    return Query.term_query(_SCHEMA, field, term, _FREQ)


def _any(queries: Iterable[Query]) -> Query:
    return Query.boolean_query([(Occur.Should, query) for query in queries])


def _visible(query: Query, filter: Collection[str] | None) -> Query:
    """The same of what the asker may see, with the same scores."""
    if filter is None:
        return query
    tags: Sequence[str] = [_EVERYONE, *(f"={tag}" for tag in filter)]
    seen = Query.const_score_query(_any(_term("tags", tag) for tag in tags), 0.0)
    return Query.boolean_query([(Occur.Must, query), (Occur.Must, seen)])
