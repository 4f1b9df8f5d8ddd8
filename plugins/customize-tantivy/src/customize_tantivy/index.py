"""The index in Tantivy: BM25 over terms. Knows no files but its own.

A document of Tantivy is a chunk: its id; its tags; its terms, which are ours, so that Tantivy takes
them apart at spaces alone; and the chunk as JSON, which is kept and not looked into.

What is not saved yet lies in a temporary folder, whose files are copied to be saved.
"""

from __future__ import annotations

import itertools
import json
import shutil
import tempfile
import threading
import weakref
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import tantivy
from tantivy import Occur, Query

from customize import Chunk, DataError, Hit, Index, OptionError, index_terms, query_terms

_HEAP = 64_000_000  # bytes that a writer gathers before it writes
_EVERYONE = "*"  # in place of tags; theirs begin with another sign
_MOST_TERMS = 64  # of a question; the rarest
_COMMON = 0.6  # of the chunks: a term in more of them takes half of a search and tells nothing
_FEW_CHUNKS = 1000  # among which a common term costs nothing
_LEAST_TERMS = 2  # the rarest, which are never left out
_AHEAD = 3  # times as many are looked through for what the asker may see
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
        self._own: Path | None = None  # where what is not saved yet lies
        self._has_deleted = False

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
            before = len(self)
            writer = self._engine.writer(_HEAP, 1)
            for id in ids:
                writer.delete_documents_by_term("id", id)
            _finish(self._engine, writer)
            self._has_deleted = self._has_deleted or len(self) < before

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
        hits = _best(searcher, _any(_term("terms", term) for term in telling), k, filter)
        return sorted(hits, key=lambda hit: (-hit.score, hit.chunk.id))

    def get(self, ids: Iterable[str]) -> list[Chunk]:
        searcher = self._engine.searcher()
        return [hit.chunk for id in ids for hit in _found(searcher, _term("id", id), 1)]

    def chunks(self) -> Iterator[Chunk]:
        yield from sorted(self._every(), key=lambda one: (one.document, one.span, one.id))

    def __len__(self) -> int:
        return int(self._engine.searcher().num_docs)

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        with self._lock:
            if self._own is None or self._has_deleted:
                # Written anew, so that what was deleted is in no file.
                _write(tantivy.Index(_SCHEMA, path=str(folder)), self.chunks())
                return
            self._tidy()
            for file in self._own.iterdir():
                shutil.copyfile(file, folder / file.name)

    @classmethod
    def load(cls, folder: Path) -> Self:
        index = cls()
        try:
            index._engine = tantivy.Index.open(str(folder))
            len(index)
        except (OSError, ValueError) as error:
            raise DataError(f"there is no whole index in {folder}: {error}") from error
        return index

    def _new(self, given: Mapping[str, Chunk]) -> list[Chunk]:
        searcher = self._engine.searcher()
        there = {id for id in given if any(_found(searcher, _term("id", id), 1))}
        return [one for id, one in given.items() if id not in there]

    def _every(self) -> list[Chunk]:
        searcher = self._engine.searcher()
        return [hit.chunk for hit in _found(searcher, Query.all_query(), max(1, len(self)))]

    def _make_own(self) -> None:
        """In a temporary folder; where this was loaded, its own stays as it is."""
        if self._own is None:
            own = Path(tempfile.mkdtemp(prefix="customize-tantivy-"))
            weakref.finalize(self, shutil.rmtree, own, ignore_errors=True)
            engine = tantivy.Index(_SCHEMA, path=str(own))
            _write(engine, self._every())
            self._engine, self._own = engine, own

    def _tidy(self) -> None:
        """Remove files of what was merged, and of what failed to be added."""
        writer = self._engine.writer(_HEAP, 1)
        writer.garbage_collect_files()
        writer.wait_merging_threads()


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


def _best(
    searcher: tantivy.Searcher, query: Query, k: int, filter: Collection[str] | None
) -> list[Hit]:
    """The best of what the asker may see: what they may not takes no place among the ``k``."""
    if filter is None:
        return list(_found(searcher, query, k))
    # Asked for terms alone, Tantivy passes over what cannot be among the best.
    places = _places(searcher, query, _AHEAD * k)
    seen = (hit for hit in _read(searcher, places) if _may_see(hit.chunk, filter))
    hits = list(itertools.islice(seen, k))
    if len(hits) == k or len(places) < _AHEAD * k:
        return hits
    return list(_found(searcher, _visible(query, filter), k))


def _found(searcher: tantivy.Searcher, query: Query, k: int) -> Iterator[Hit]:
    return _read(searcher, _places(searcher, query, k))


def _places(searcher: tantivy.Searcher, query: Query, k: int) -> Sequence[tuple[float, Any]]:
    """Scores and where what has them lies, the best first."""
    return searcher.search(query, k, count=False).hits


def _read(searcher: tantivy.Searcher, places: Iterable[tuple[float, Any]]) -> Iterator[Hit]:
    for score, place in places:
        yield Hit(_chunk(searcher.doc(place)), score)


def _may_see(chunk: Chunk, asker: Collection[str]) -> bool:
    return not chunk.tags or not chunk.tags.isdisjoint(asker)


def _term(field: str, term: str) -> Query:
    """A term as it is: nothing in it is syntax."""
    return Query.term_query(_SCHEMA, field, term, _FREQ)


def _any(queries: Iterable[Query]) -> Query:
    return Query.boolean_query([(Occur.Should, query) for query in queries])


def _visible(query: Query, filter: Collection[str]) -> Query:
    """The same of what the asker may see, with the same scores."""
    tags: Sequence[str] = [_EVERYONE, *(f"={tag}" for tag in filter)]
    seen = Query.const_score_query(_any(_term("tags", tag) for tag in tags), 0.0)
    return Query.boolean_query([(Occur.Must, query), (Occur.Must, seen)])
