"""The index in SQLite's FTS5, which every Python has: BM25 over words. Knows no files but its own.

The table of words is contentless: what is taken out of it is told to it again, exactly as it was
put in, so both go through `_indexed`. It says which rows have a word; what that makes their scores
is counted in `bm25`.

Shape legend: R rows; M those of them that have the word in question; L sets of tags.
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

import numpy as np

from customize._errors import DataError, OptionError
from customize.interfaces.index import Chunk, Hit, Index, fingerprint_of
from customize.retrieval.bm25 import OF_OTHERS, Integers, Part, Rows, highest, sums_of_three
from customize.retrieval.folding import folded
from customize.retrieval.function_words import FUNCTION_WORDS
from customize.retrieval.grams import grams, grams_to_find, without_runs

FILE = "chunks.sqlite"
_HEADING_WEIGHT = 2  # a word that heads a text says more of it than one that stands in it
_HEAP = 16_000_000  # bytes of words that are gathered before they are written
# What it is given is folded; marks that are left are vowels of scripts that write them so.
_TOKENIZE = """tokenize = "unicode61 remove_diacritics 0 categories 'L* N* Co M*'" """.strip()
_SCHEMA = f"""
CREATE TABLE labels(label INTEGER PRIMARY KEY, tags TEXT NOT NULL UNIQUE);
CREATE TABLE chunks(
    row INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, label INTEGER NOT NULL,
    document TEXT NOT NULL, start INTEGER NOT NULL, stop INTEGER NOT NULL,
    heading TEXT NOT NULL, text TEXT NOT NULL);
CREATE INDEX by_place ON chunks(document, start);
CREATE VIRTUAL TABLE words USING fts5(heading, text, grams, content = '', {_TOKENIZE});
INSERT INTO words(words, rank) VALUES ('hashsize', {_HEAP});
"""
# What a query's words are, and in how many chunks they are, is said by FTS5 itself.
_ASKING = f"""
CREATE VIRTUAL TABLE temp.asked USING fts5(text, {_TOKENIZE});
CREATE VIRTUAL TABLE temp.asked_words USING fts5vocab('temp', 'asked', 'row');
CREATE VIRTUAL TABLE temp.all_words USING fts5vocab('main', 'words', 'row');
CREATE VIRTUAL TABLE temp.all_places USING fts5vocab('main', 'words', 'instance');
"""
_COLUMNS = "document, text, start, stop, heading, tags, id"
_CHUNKS = "chunks JOIN labels USING (label)"
_BATCH = 1000
_COMMON = 0.1  # of the chunks: a word in more of them is left out of a query
_FEW_CHUNKS = 1000  # among which a common word costs nothing
_OFTEN = 0.01  # of the chunks: what a word in more of them adds to their scores is kept
_KEPT = 8  # such words a chunk, in the mean; each takes 16 bytes
_LEAST_WORDS = 2  # the rarest, which are never left out
_MOST_WORDS = 64  # of a query; the rarest again
# All rows; the tags that there are [L]; the place among them of each row's [R].
_Known = tuple[Rows, list[list[str]], Integers]


class SqliteIndex(Index):
    """Chunks by their words, in one file. Needs nothing installed."""

    def __init__(self) -> None:
        self._begin("", _SCHEMA)
        self._is_own = True

    def add(self, chunks: Iterable[Chunk]) -> None:
        with self._changing():
            waiting = iter(chunks)
            while batch := list(itertools.islice(waiting, _BATCH)):
                self._insert(batch)

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
        self.check_filter(filter)
        with self._reading():
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
        rows, tags_L, labels_R = self._rows()
        scores_R = rows.scores(map(self._part, words))
        # Before the best are picked, so that what the asker may not see takes no place among them.
        seen_L = np.array([filter is None or _may_see(tags, filter) for tags in tags_L], bool)
        best = highest(scores_R * seen_L.take(labels_R), k)
        found = zip(rows.numbers_R[best].tolist(), scores_R[best].tolist(), strict=True)
        hits = [Hit(self._chunk_in(row), score) for row, score in found]
        return sorted(hits, key=lambda hit: (-hit.score, hit.chunk.id))

    def get(self, ids: Iterable[str]) -> list[Chunk]:
        select = f"SELECT {_COLUMNS} FROM {_CHUNKS} WHERE id = ?"
        with self._reading():
            found = [self._db.execute(select, [one]).fetchone() for one in ids]
        return [_chunk(columns) for columns in found if columns is not None]

    def chunks(self) -> Iterator[Chunk]:
        document, start, row = "", -1, -1
        while rows := self._after(document, start, row):
            yield from (_chunk(columns) for _, *columns in rows)
            row, document, _, start, *_ = rows[-1]

    def __len__(self) -> int:
        with self._reading():
            [count] = self._db.execute("SELECT count(*) FROM chunks").fetchone()
        return int(count)

    @property
    def fingerprint(self) -> str:
        with self._reading():
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
        with self._reading():
            self._db.backup(copy._db)
            [told] = copy._db.execute("PRAGMA integrity_check(1)").fetchone()
            copy._db.execute("INSERT INTO words(words) VALUES ('integrity-check')")
            words = copy._db.execute("SELECT count(*) FROM words_docsize").fetchone()
        if told != "ok":
            raise DataError(f"the index is damaged: {told}. Build it anew")
        if words != (len(self),):
            raise DataError(OF_OTHERS)
        with self._reading():
            self._rows()
        super().check()  # each chunk is compared with its id

    def _begin(self, uri: str, schema: str) -> None:
        self._lock = threading.RLock()
        self._forget()
        self._db = _connect(uri)
        self._db.executescript(schema + _ASKING)

    def _check_schema(self) -> None:
        select = "SELECT type, name, sql FROM main.sqlite_schema ORDER BY name"
        if self._db.execute(select).fetchall() != SqliteIndex()._db.execute(select).fetchall():
            raise sqlite3.DatabaseError("its tables are not those of this version's index")

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Alone, and what SQLite finds damaged is told as such."""
        with self._lock:
            try:
                yield
            except sqlite3.Error as error:
                raise DataError(f"the index is damaged: {error}. Build it anew") from error

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """One transaction, in a copy of one's own where this was loaded."""
        with self._lock:
            if not self._is_own:
                own = _connect("")
                with self._reading():
                    self._db.backup(own)
                self._db.close()
                self._db, self._is_own = own, True
                self._db.executescript(_ASKING)
            self._db.execute("BEGIN")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            else:
                self._db.execute("COMMIT")
            finally:
                self._forget()

    def _forget(self) -> None:
        """What is kept of what the tables say, since they change."""
        self._num_having: dict[str, int] = {}
        self._parts: dict[str, Part] = {}
        self._known: _Known | None = None

    def _insert(self, chunks: Sequence[Chunk]) -> None:
        """Those that are not there."""
        [first] = self._db.execute("SELECT coalesce(max(row), 0) + 1 FROM chunks").fetchone()
        labels = {tags: self._label(tags) for tags in {chunk.tags for chunk in chunks}}
        headings = {one: json.dumps(one) for one in {chunk.heading for chunk in chunks}}
        self._db.executemany(
            "INSERT INTO chunks VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
            (
                (row, c.id, labels[c.tags], c.document, *c.span, headings[c.heading], c.text)
                for row, c in enumerate(chunks, start=first)
            ),
        )
        new = self._db.execute("SELECT row FROM chunks WHERE row >= ?", [first]).fetchall()
        self._db.executemany(
            "INSERT INTO words(rowid, heading, text, grams) VALUES (?, ?, ?, ?)",
            ((row, *_indexed(chunks[row - first])) for (row,) in new),
        )
        self._forget()

    def _label(self, tags: frozenset[str]) -> int:
        text = json.dumps(sorted(tags))
        self._db.execute("INSERT OR IGNORE INTO labels(tags) VALUES (?)", [text])
        [label] = self._db.execute("SELECT label FROM labels WHERE tags = ?", [text]).fetchone()
        return int(label)

    def _rows(self) -> _Known:
        """Read once until something changes; as text, since each would be an object otherwise."""
        if self._known is None:
            told = self._db.execute(
                "SELECT group_concat(row), group_concat(label), group_concat(hex(sz), '') "
                "FROM chunks CROSS JOIN labels USING (label) "
                "CROSS JOIN words_docsize ON row = words_docsize.id"
            ).fetchone()
            numbers, labels, lengths = (one or "" for one in told)
            rows = Rows(_integers(numbers), sums_of_three(bytes.fromhex(lengths)))
            if len(rows) != len(self):
                raise DataError(OF_OTHERS)
            tags = dict(self._db.execute("SELECT label, tags FROM labels").fetchall())
            labels_L, labels_R = np.unique(_integers(labels), return_inverse=True)
            self._known = rows, [json.loads(tags[one]) for one in labels_L.tolist()], labels_R
        return self._known

    def _part(self, word: str) -> Part:
        """What the word adds to scores; kept where reading it takes long."""
        if word in self._parts:
            return self._parts[word]
        rows, _, _ = self._rows()
        part = rows.part(*self._having(word))
        if len(part[0]) > _OFTEN * len(rows):
            self._parts[word] = part
            while sum(len(places) for places, _ in self._parts.values()) > _KEPT * len(rows):
                del self._parts[next(iter(self._parts))]
        return part

    def _having(self, word: str) -> tuple[Integers, Integers]:
        """The numbers of the rows that have the word, ascending, and how often each has it."""
        select = "SELECT group_concat(2 * doc + (col = 'heading')) FROM all_places WHERE term = ?"
        [told] = self._db.execute(select, [word]).fetchone()
        instances = _integers(told)
        numbers, weights = instances >> 1, np.where(instances & 1, _HEADING_WEIGHT, 1)
        first = np.flatnonzero(np.diff(numbers, prepend=-1))
        return numbers[first], np.add.reduceat(weights, first)

    def _chunk_in(self, row: int) -> Chunk:
        select = f"SELECT {_COLUMNS} FROM {_CHUNKS} WHERE row = ?"
        return _chunk(self._db.execute(select, [row]).fetchone())

    def _words_of(self, query: str) -> tuple[list[str], list[str]]:
        """The query's words, as the index writes them, without common ones; and function words.

        Where it has no others, these are its words.
        """
        query = query.encode("utf-8", "replace").decode()  # half a character is no text to SQLite
        told = f"{folded(without_runs(query))} {' '.join(grams(query))}"
        self._db.execute("INSERT INTO asked(text) VALUES (?)", [told])
        words = [word for (word,) in self._db.execute("SELECT term FROM asked_words").fetchall()]
        self._db.execute("DELETE FROM asked")
        counts = {word: self._num_chunks_with(word) for word in words}
        there = sorted((word for word in words if counts[word]), key=counts.__getitem__)
        tells = not FUNCTION_WORDS.issuperset(words)
        rarest = [word for word in there if not (tells and word in FUNCTION_WORDS)]
        most = max(_COMMON * len(self), _FEW_CHUNKS)
        looked_for = [
            word
            for place, word in enumerate(rarest[:_MOST_WORDS])
            if place < _LEAST_WORDS or counts[word] <= most
        ]
        others = [word for word in there if word not in rarest and counts[word] <= most]
        return looked_for, others[:_MOST_WORDS]

    def _num_chunks_with(self, word: str) -> int:
        """Kept where there are some: an index has so many words, and its askers ever more."""
        if word not in self._num_having:
            select = "SELECT doc FROM all_words WHERE term = ?"
            told = self._db.execute(select, [word]).fetchone()
            if told is None:
                return 0
            [self._num_having[word]] = told
        return self._num_having[word]

    def _after(self, document: str, start: int, row: int) -> list[Any]:
        with self._reading():
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
    pieces = " ".join(grams_to_find(f"{heading}\n{chunk.text}"))
    return folded(without_runs(heading)), folded(without_runs(chunk.text)), pieces


def _chunk(columns: Sequence[Any]) -> Chunk:  # a row of _COLUMNS
    document, text, start, stop, heading, tags, id = columns
    chunk = Chunk(document, text, (start, stop), tuple(json.loads(heading)), json.loads(tags))
    if chunk.id != id:
        raise DataError(f"the index is damaged: {document} at {start} is not what was added")
    return chunk


def _may_see(tags: Sequence[str], asker: Collection[str]) -> bool:
    return not tags or any(tag in asker for tag in tags)


def _integers(text: str) -> Integers:
    """With commas between them."""
    return np.fromstring(text, np.int64, sep=",")
