"""The index in SQLite's FTS5, which every Python has: BM25 over words. Knows no files but its own.

The table of words is contentless: what is taken out of it is told to it again, exactly as it was
put in, so both go through `_indexed`.
"""

from __future__ import annotations

import itertools
import json
import sqlite3
import threading
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from customize._errors import DataError, OptionError
from customize.interfaces.index import Chunk, Hit, Index, fingerprint_of
from customize.retrieval.function_words import FUNCTION_WORDS
from customize.retrieval.grams import grams, grams_to_find, without_runs

FILE = "chunks.sqlite"
_HEADING_WEIGHT = 2.0  # a word that heads a text says more of it than one that stands in it
_TOKENIZE = "tokenize = 'unicode61 remove_diacritics 2'"
_SCHEMA = f"""
CREATE TABLE labels(label INTEGER PRIMARY KEY, tags TEXT NOT NULL UNIQUE);
CREATE TABLE chunks(
    row INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, label INTEGER NOT NULL,
    document TEXT NOT NULL, start INTEGER NOT NULL, stop INTEGER NOT NULL,
    heading TEXT NOT NULL, text TEXT NOT NULL);
CREATE INDEX by_place ON chunks(document, start);
CREATE VIRTUAL TABLE words USING fts5(heading, text, grams, content = '', {_TOKENIZE});
INSERT INTO words(words, rank) VALUES ('rank', 'bm25({_HEADING_WEIGHT}, 1.0, 1.0)');
"""
# What a query's words are, and in how many chunks they are, is said by FTS5 itself.
_ASKING = f"""
CREATE VIRTUAL TABLE temp.asked USING fts5(text, {_TOKENIZE});
CREATE VIRTUAL TABLE temp.asked_words USING fts5vocab('temp', 'asked', 'row');
CREATE VIRTUAL TABLE temp.all_words USING fts5vocab('main', 'words', 'row');
"""
_COLUMNS = "document, text, start, stop, heading, tags, id"
_CHUNKS = "chunks JOIN labels USING (label)"
_BATCH = 1000
_COMMON = 0.1  # of the chunks: a word in more of them is left out of a query
_FEW_CHUNKS = 1000  # among which a common word costs nothing
_LEAST_WORDS = 2  # the rarest, which are never left out
_MOST_WORDS = 64  # of a query; the rarest again


class SqliteIndex(Index):
    """Chunks by their words, in one file. Needs nothing installed."""

    def __init__(self) -> None:
        self._begin("", _SCHEMA)
        self._is_own = True

    def add(self, chunks: Iterable[Chunk]) -> None:
        with self._changing():
            waiting = iter(chunks)
            while batch := list(itertools.islice(waiting, _BATCH)):
                self._insert(list(self._new(batch)))

    def delete(self, ids: Iterable[str]) -> None:
        with self._changing():
            for one in ids:
                select = f"SELECT row, {_COLUMNS} FROM {_CHUNKS} WHERE id = ?"
                for row, *columns in self._db.execute(select, [one]).fetchall():
                    self._db.execute(
                        "INSERT INTO words(words, rowid, heading, text, grams) "
                        "VALUES ('delete', ?, ?, ?, ?)",
                        [row, *_indexed(_chunk(columns))],
                    )
                    self._db.execute("DELETE FROM chunks WHERE row = ?", [row])

    def search(self, query: str, k: int, filter: Collection[str] | None = ()) -> list[Hit]:
        if k < 1:
            raise OptionError(f"k must be >= 1 (got {k})")
        with self._lock:
            telling, others = self._words_of(query)
            hits = self._best(telling, k, filter)
            if len(hits) < k:
                # What only they find fills up, and its score says that it tells nothing.
                found = {hit.chunk.id for hit in hits}
                more = [hit for hit in self._best(others, k, filter) if hit.chunk.id not in found]
                hits += [Hit(hit.chunk, 0.0) for hit in more[: k - len(hits)]]
        return hits

    def _best(self, words: Sequence[str], k: int, filter: Collection[str] | None) -> list[Hit]:
        """The ``k`` chunks with the highest BM25 for these words, as the index writes them."""
        if not words:
            return []
        # Within the query, so that what the asker may not see takes no place among the k.
        visible, labels = self._visible(filter)
        found = self._db.execute(
            f"SELECT -w.rank, {_COLUMNS} FROM (SELECT rowid AS row, rank FROM words "
            f"WHERE words MATCH ? {visible} ORDER BY rank LIMIT ?) w "
            f"JOIN chunks USING (row) JOIN labels USING (label) ORDER BY w.rank, id",
            [" OR ".join(map(_quoted, words)), *labels, k],
        ).fetchall()
        return [Hit(_chunk(columns), score) for score, *columns in found]

    def get(self, ids: Iterable[str]) -> list[Chunk]:
        select = f"SELECT {_COLUMNS} FROM {_CHUNKS} WHERE id = ?"
        with self._lock:
            found = [self._db.execute(select, [one]).fetchone() for one in ids]
        return [_chunk(columns) for columns in found if columns is not None]

    def chunks(self) -> Iterator[Chunk]:
        document, start, row = "", -1, -1
        while rows := self._after(document, start, row):
            yield from (_chunk(columns) for _, *columns in rows)
            row, document, _, start, *_ = rows[-1]

    def __len__(self) -> int:
        with self._lock:
            [count] = self._db.execute("SELECT count(*) FROM chunks").fetchone()
        return int(count)

    @property
    def fingerprint(self) -> str:
        with self._lock:
            return fingerprint_of(one for (one,) in self._db.execute("SELECT id FROM chunks"))

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        with self._lock:
            if self._is_own:
                # Merged, it holds nothing of what was deleted; a copy has no free pages either.
                self._db.execute("INSERT INTO words(words) VALUES ('optimize')")
            self._db.execute("VACUUM INTO ?", [str(folder / FILE)])

    @classmethod
    def load(cls, folder: Path) -> Self:
        file = folder / FILE
        if not file.is_file():
            raise DataError(f"there is no index in {folder}: it has no {FILE}")
        index = cls.__new__(cls)
        try:
            index._begin(f"{file.resolve().as_uri()}?mode=ro&immutable=1", "")
            index._check_schema()
        except sqlite3.Error as error:
            raise DataError(f"{file} is damaged: {error}. Build the index anew") from error
        index._is_own = False
        return index

    def check(self) -> None:
        copy = SqliteIndex()
        try:
            self._copy_to(copy._db)
            [told] = copy._db.execute("PRAGMA integrity_check(1)").fetchone()
            copy._db.execute("INSERT INTO words(words) VALUES ('integrity-check')")
            words = copy._db.execute("SELECT count(*) FROM words_docsize").fetchone()
        except sqlite3.Error as error:
            raise DataError(f"the index is damaged: {error}. Build it anew") from error
        if told != "ok":
            raise DataError(f"the index is damaged: {told}. Build it anew")
        if words != (len(self),):
            raise DataError("the index is damaged: its words are of other chunks. Build it anew")
        super().check()  # each chunk is compared with its id

    def _begin(self, uri: str, schema: str) -> None:
        self._lock = threading.RLock()
        self._num_having: dict[str, int] = {}
        self._db = _connect(uri)
        self._db.executescript(schema + _ASKING)

    def _check_schema(self) -> None:
        select = "SELECT type, name, sql FROM main.sqlite_schema ORDER BY name"
        if self._db.execute(select).fetchall() != SqliteIndex()._db.execute(select).fetchall():
            raise sqlite3.DatabaseError("its tables are not those of this version's index")

    def _copy_to(self, db: sqlite3.Connection) -> None:
        with self._lock:
            self._db.backup(db)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """One transaction, in a copy of one's own where this was loaded."""
        with self._lock:
            if not self._is_own:
                own = _connect("")
                self._copy_to(own)
                self._db.close()
                self._db, self._is_own = own, True
                self._db.executescript(_ASKING)
            self._num_having.clear()
            self._db.execute("BEGIN")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def _new(self, batch: Sequence[Chunk]) -> Iterator[Chunk]:
        """Those of the batch that are not there, each once."""
        by_id = {chunk.id: chunk for chunk in batch}
        marks = ", ".join("?" * len(by_id))
        there = self._db.execute(f"SELECT id FROM chunks WHERE id IN ({marks})", list(by_id))
        for (one,) in there.fetchall():
            del by_id[one]
        yield from by_id.values()

    def _insert(self, chunks: Sequence[Chunk]) -> None:
        [first] = self._db.execute("SELECT coalesce(max(row), 0) + 1 FROM chunks").fetchone()
        labels = {tags: self._label(tags) for tags in {chunk.tags for chunk in chunks}}
        self._db.executemany(
            "INSERT INTO chunks VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                (row, c.id, labels[c.tags], c.document, *c.span, json.dumps(c.heading), c.text)
                for row, c in enumerate(chunks, start=first)
            ),
        )
        self._db.executemany(
            "INSERT INTO words(rowid, heading, text, grams) VALUES (?, ?, ?, ?)",
            ((row, *_indexed(chunk)) for row, chunk in enumerate(chunks, start=first)),
        )

    def _label(self, tags: frozenset[str]) -> int:
        text = json.dumps(sorted(tags))
        self._db.execute("INSERT OR IGNORE INTO labels(tags) VALUES (?)", [text])
        [label] = self._db.execute("SELECT label FROM labels WHERE tags = ?", [text]).fetchone()
        return int(label)

    def _visible(self, filter: Collection[str] | None) -> tuple[str, list[int]]:
        """A condition on a row of ``words``, and its values; empty where all may be seen."""
        if filter is None:
            return "", []
        labels = self._db.execute("SELECT label, tags FROM labels").fetchall()
        mine = [label for label, tags in labels if _may_see(json.loads(tags), filter)]
        if len(mine) == len(labels):
            return "", []
        marks = ", ".join("?" * len(mine))
        return f"AND (SELECT label FROM chunks WHERE row = words.rowid) IN ({marks})", mine

    def _words_of(self, query: str) -> tuple[list[str], list[str]]:
        """The query's words, as the index writes them, without common ones; and function words.

        Where it has no others, these are its words.
        """
        told = f"{without_runs(query)} {' '.join(grams(query))}"
        self._db.execute("INSERT INTO asked(text) VALUES (?)", [told])
        words = [word for (word,) in self._db.execute("SELECT term FROM asked_words").fetchall()]
        self._db.execute("DELETE FROM asked")
        counts = {word: self._num_chunks_with(word) for word in words}
        there = sorted((word for word in words if counts[word]), key=counts.__getitem__)
        rarest = [word for word in there if word not in FUNCTION_WORDS] or there
        most = max(_COMMON * len(self), _FEW_CHUNKS)
        looked_for = [
            word
            for place, word in enumerate(rarest[:_MOST_WORDS])
            if place < _LEAST_WORDS or counts[word] <= most
        ]
        others = [word for word in there if word not in rarest and counts[word] <= most]
        return looked_for, others[:_MOST_WORDS]

    def _num_chunks_with(self, word: str) -> int:
        if word not in self._num_having:
            select = "SELECT doc FROM all_words WHERE term = ?"
            [count] = self._db.execute(select, [word]).fetchone() or [0]
            self._num_having[word] = count
        return self._num_having[word]

    def _after(self, document: str, start: int, row: int) -> list[Any]:
        with self._lock:
            return self._db.execute(
                f"SELECT row, {_COLUMNS} FROM {_CHUNKS} WHERE (document, start, row) > (?, ?, ?) "
                f"ORDER BY document, start, row LIMIT {_BATCH}",
                [document, start, row],
            ).fetchall()


def _connect(uri: str) -> sqlite3.Connection:
    """``""`` is a database that is gone when it is closed."""
    db = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
    for pragma in ("trusted_schema = OFF", "temp_store = MEMORY", "cache_size = -65536"):
        db.execute(f"PRAGMA {pragma}")
    return db


def _indexed(chunk: Chunk) -> tuple[str, str, str]:
    heading = " ".join(chunk.heading)
    return heading, chunk.text, " ".join(grams_to_find(f"{heading}\n{chunk.text}"))


def _chunk(columns: Sequence[Any]) -> Chunk:  # a row of _COLUMNS
    document, text, start, stop, heading, tags, id = columns
    chunk = Chunk(document, text, (start, stop), tuple(json.loads(heading)), json.loads(tags))
    if chunk.id != id:
        raise DataError(f"the index is damaged: {document} at {start} is not what was added")
    return chunk


def _may_see(tags: Sequence[str], asker: Collection[str]) -> bool:
    return not tags or any(tag in asker for tag in tags)


def _quoted(word: str) -> str:
    """A string of FTS5: whatever is in it is no syntax."""
    return '"' + word.replace('"', '""') + '"'
