"""The index in LanceDB: BM25 over terms, and vectors. Knows no files but its own.

Shape legend: N chunks, D dimensions.
"""

from __future__ import annotations

import itertools
import tempfile
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import lancedb
import pyarrow as pa
from lancedb.index import FTS, BTree
from lancedb.query import MatchQuery

from customize import (
    Chunk,
    DataError,
    Encoder,
    Hit,
    Index,
    OptionError,
    fused,
    index_terms,
    query_terms,
)

_TABLE = "chunks"
_ENCODER = b"customize.encoder"  # of the schema's metadata: a fingerprint
_MOST_TERMS = 64  # of a question
_DEPTH = 50  # of each of two rankings, at least
_BATCH = 1000
_COLUMNS = ["document", "text", "start", "stop", "heading", "tags"]
_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("document", pa.string()),
        ("start", pa.int64()),
        ("stop", pa.int64()),
        ("heading", pa.list_(pa.string())),
        ("text", pa.string()),
        ("tags", pa.list_(pa.string())),
        ("everyone", pa.bool_()),  # may see it
        ("terms", pa.string()),
    ]
)
# Terms are ours: LanceDB takes them apart at spaces alone.
_AS_THEY_ARE = {
    "base_tokenizer": "whitespace",
    "lower_case": False,
    "stem": False,
    "remove_stop_words": False,
    "ascii_folding": False,
    "max_token_length": None,
    "with_position": False,
}


class LanceIndex(Index):
    """Chunks by their terms, and by vectors where there is an encoder.

    uri: where it lives and where changes are written at once: a folder, or an object store as
        ``s3://bucket/path``. Without one it is in a folder of its own, which goes with it.
    encoder: of its vectors; the same whenever it is opened.
    storage_options: what the object store asks for, as LanceDB calls it.
    """

    def __init__(
        self,
        uri: str | None = None,
        encoder: Encoder | None = None,
        storage_options: Mapping[str, str] | None = None,
    ) -> None:
        self.encoder = encoder
        self._lock = threading.RLock()
        self._folder = None if uri else _own_folder()
        place = uri or self._folder.name  # type: ignore[union-attr]  # one of them is there
        self._db = lancedb.connect(place, storage_options=dict(storage_options or {}))
        self._table = _table_in(self._db)
        self._is_saved = False
        _check_encoder(self._table, encoder)

    @property
    def table(self) -> Any:  # LanceDB has no types
        """LanceDB's own; None before anything was added."""
        return self._table

    def add(self, chunks: Iterable[Chunk]) -> None:
        given = {chunk.id: chunk for chunk in chunks}
        with self._lock:
            for id in self._there(list(given)):
                del given[id]
            if given:
                self._make_own()
                self._insert(list(given.values()))

    def delete(self, ids: Iterable[str]) -> None:
        with self._lock:
            self._make_own()
            for batch in _batches(ids):
                if self._table is not None:
                    self._table.delete(_is_one_of(batch))

    def search(self, query: str, k: int, filter: Collection[str] | None = ()) -> list[Hit]:
        if k < 1:
            raise OptionError(f"k must be >= 1 (got {k})")
        self.check_filter(filter)
        if self._table is None:
            return []
        if self.encoder is None:
            found = self._by_terms(query, k, filter)
            return sorted(found, key=lambda hit: (-hit.score, hit.chunk.id))
        depth = max(k, _DEPTH)
        rankings = [self._by_terms(query, depth, filter), self._by_vector(query, depth, filter)]
        known = {hit.chunk.id: hit.chunk for ranking in rankings for hit in ranking}
        scores = fused([hit.chunk.id for hit in ranking] for ranking in rankings)
        best = sorted(scores, key=lambda id: (-scores[id], id))[:k]
        return [Hit(known[id], scores[id]) for id in best]

    def get(self, ids: Iterable[str]) -> list[Chunk]:
        wanted = list(ids)
        found = {chunk.id: chunk for batch in _batches(wanted) for chunk in self._among(batch)}
        return [found[id] for id in wanted if id in found]

    def chunks(self) -> Iterator[Chunk]:
        if self._table is None:
            return
        places = self._table.search().select(["id", "document", "start"]).to_arrow()
        places = places.sort_by([(name, "ascending") for name in ("document", "start", "id")])
        for batch in _batches(places["id"].to_pylist()):
            yield from self.get(batch)

    def __len__(self) -> int:
        return 0 if self._table is None else int(self._table.count_rows())

    def save(self, folder: Path) -> None:
        """
        Raises:
            OptionError: it has an encoder, which a saved index is loaded without.
        """
        if self.encoder is not None:
            raise OptionError(
                "an index with an encoder stays where its uri says, and is opened there: save "
                "FusedIndex(LanceIndex(), encoder), or let build_index(…, index='lancedb', "
                "encoder=…) make it"
            )
        folder.mkdir(parents=True)
        # Written anew, so that what was deleted is in no file.
        _fill(lancedb.connect(folder), self._rows())

    @classmethod
    def load(cls, folder: Path) -> Self:
        if not (folder / f"{_TABLE}.lance").is_dir():
            raise DataError(f"there is no index in {folder}: it has no {_TABLE}.lance")
        try:
            index = cls(str(folder))
            len(index)
        except OptionError as error:
            raise DataError(
                f"{folder} has vectors: open it with LanceIndex({str(folder)!r}, encoder)"
            ) from error
        except (OSError, RuntimeError, ValueError) as error:
            raise DataError(f"the index in {folder} is damaged: {error}") from error
        index._is_saved = True
        return index

    def _insert(self, chunks: Sequence[Chunk]) -> None:
        rows = _rows(chunks, self.encoder)
        if self._table is None:
            self._table = _fill(self._db, rows)
            return
        self._table.add(rows)
        self._table.optimize()  # what is new goes into the index of terms

    def _there(self, ids: Sequence[str]) -> list[str]:
        return [chunk.id for batch in _batches(ids) for chunk in self._among(batch)]

    def _among(self, ids: Sequence[str]) -> list[Chunk]:
        if self._table is None:
            return []
        rows = self._table.search().where(_is_one_of(ids)).limit(len(ids)).select(_COLUMNS)
        return [_chunk(row) for row in rows.to_list()]

    def _by_terms(self, query: str, k: int, filter: Collection[str] | None) -> list[Hit]:
        terms = query_terms(query)[:_MOST_TERMS]
        if not terms:
            return []
        asked = self._table.search(MatchQuery(" ".join(terms), "terms"), query_type="fts")
        rows = _visible(asked, filter).limit(k).select([*_COLUMNS, "_score"]).to_list()
        return [Hit(_chunk(row), float(row["_score"])) for row in rows]

    def _by_vector(self, query: str, k: int, filter: Collection[str] | None) -> list[Hit]:
        assert self.encoder is not None
        whole = query.encode("utf-8", "replace").decode()  # tokenizers refuse half a character
        [query_D] = self.encoder.encode_queries([whole])
        asked = self._table.search(query_D, vector_column_name="vector").distance_type("dot")
        rows = _visible(asked, filter).limit(k).select([*_COLUMNS, "_distance"]).to_list()
        return [Hit(_chunk(row), -float(row["_distance"])) for row in rows]

    def _rows(self) -> pa.Table:
        return _rows([], None) if self._table is None else self._table.to_arrow()

    def _make_own(self) -> None:
        """In a folder of its own, where this was loaded: the one it lies in stays as it is."""
        if self._is_saved:
            rows = self._rows()
            self._folder = _own_folder()
            self._db = lancedb.connect(self._folder.name)
            self._table, self._is_saved = _fill(self._db, rows), False


def _own_folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="customize-lancedb-")


def _table_in(db: Any) -> Any:
    try:
        return db.open_table(_TABLE)
    except ValueError as error:
        if "was not found" not in str(error):
            raise
        return None


def _check_encoder(table: Any, encoder: Encoder | None) -> None:
    """
    Raises:
        OptionError: the table has vectors and no encoder is given, or the other way round.
        DataError: they are another encoder's.
    """
    if table is None:
        return
    own = (table.schema.metadata or {}).get(_ENCODER)
    if (own is None) != (encoder is None):
        told = "no vectors: leave out the encoder" if own is None else "vectors: give their encoder"
        raise OptionError(f"the index has {told}")
    if encoder is not None and own != encoder.fingerprint.encode():
        raise DataError("the index's vectors are another encoder's: build it anew with this one")


def _fill(db: Any, rows: pa.Table) -> Any:
    """A new table of these rows, and its indexes."""
    table = db.create_table(_TABLE, data=rows)
    table.create_index("terms", config=FTS(**_AS_THEY_ARE))
    table.create_index("id", config=BTree())
    return table


def _rows(chunks: Sequence[Chunk], encoder: Encoder | None) -> pa.Table:
    rows = pa.Table.from_pylist([_row(chunk) for chunk in chunks], _SCHEMA)
    if encoder is None:
        return rows
    texts = [chunk.headed for chunk in chunks]
    vectors_ND = encoder.encode_chunks(texts)
    flat = pa.array(vectors_ND.reshape(-1), pa.float32())
    rows = rows.append_column("vector", pa.FixedSizeListArray.from_arrays(flat, len(vectors_ND[0])))
    return rows.replace_schema_metadata({_ENCODER: encoder.fingerprint})


def _row(chunk: Chunk) -> dict[str, Any]:
    start, stop = chunk.span
    return {
        "id": chunk.id,
        "document": chunk.document,
        "start": start,
        "stop": stop,
        "heading": list(chunk.heading),
        "text": chunk.text,
        "tags": sorted(chunk.tags),
        "everyone": not chunk.tags,
        "terms": " ".join(index_terms(chunk.headed)),
    }


def _chunk(row: Mapping[str, Any]) -> Chunk:
    span = row["start"], row["stop"]
    return Chunk(row["document"], row["text"], span, tuple(row["heading"]), row["tags"])


def _visible(asked: Any, filter: Collection[str] | None) -> Any:
    """The query of what the asker may see: before it is ranked, so that none takes a place."""
    if filter is None:
        return asked
    seen = ["everyone", *(f"array_has(tags, {_quoted(tag)})" for tag in filter)]
    return asked.where(" OR ".join(seen), prefilter=True)


def _is_one_of(ids: Iterable[str]) -> str:
    return f"id IN ({', '.join(map(_quoted, ids))})"


def _quoted(text: str) -> str:
    """A string of SQL: whatever is in it is no syntax."""
    return "'" + text.replace("'", "''") + "'"


def _batches(ids: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(ids)
    while batch := list(itertools.islice(rest, _BATCH)):
        yield batch
