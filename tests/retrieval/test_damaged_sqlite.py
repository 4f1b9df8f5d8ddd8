"""The default index's file, damaged or made by somebody else: each is told, none is believed."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import pytest
from words_index import WORDS, chunk, indexed, some_chunks

from customize import DataError
from customize.retrieval.sqlite_index import FILE, SqliteIndex


def saved_and_changed(folder: Path, change: str) -> None:
    """An index of some chunks, whose tables are then changed behind its back."""
    indexed(*some_chunks(0, 50)).save(folder)
    db = sqlite3.connect(folder / FILE)
    db.execute(change)
    db.commit()
    db.close()


def test_a_folder_without_an_index_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"it has no {re.escape(FILE)}"):
        SqliteIndex.load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not a database" * 999])
def test_a_file_that_is_no_index_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(DataError, match=re.escape(FILE)):
        SqliteIndex.load(tmp_path)


@pytest.mark.parametrize(
    "added",
    [
        "CREATE VIEW evil AS SELECT 1",
        "CREATE TRIGGER evil AFTER INSERT ON labels BEGIN DELETE FROM chunks; END",
        "DROP INDEX by_place",
    ],
)
def test_a_file_with_other_tables_is_refused(tmp_path: Path, added: str) -> None:
    saved_and_changed(tmp_path / "index", added)
    with pytest.raises(DataError, match="not those of this version"):
        SqliteIndex.load(tmp_path / "index")


def test_a_changed_chunk_is_noticed(tmp_path: Path) -> None:
    indexed(chunk("the price is 10 euros")).save(tmp_path / "index")
    file = tmp_path / "index" / FILE
    file.write_bytes(file.read_bytes().replace(b"is 10 euros", b"is 99 euros"))
    with pytest.raises(DataError, match="damaged"):
        SqliteIndex.load(tmp_path / "index").search("price", 1)


def test_words_of_other_chunks_are_noticed(tmp_path: Path) -> None:
    saved_and_changed(tmp_path / "index", "DELETE FROM chunks WHERE row = 7")
    damaged = SqliteIndex.load(tmp_path / "index")
    with pytest.raises(DataError, match="words are of other chunks"):
        damaged.check()
    with pytest.raises(DataError, match="words are of other chunks"):
        [damaged.search(word, 50, None) for word in WORDS]


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM labels",
        "DELETE FROM labels WHERE label = 1",
        "UPDATE words_docsize SET sz = x'05' WHERE id = 7",
        "DELETE FROM words_docsize WHERE id = 7",
    ],
)
def test_what_a_search_reads_is_checked(tmp_path: Path, change: str) -> None:
    saved_and_changed(tmp_path / "index", change)
    damaged = SqliteIndex.load(tmp_path / "index")
    with pytest.raises(DataError, match="words are of other chunks"):
        damaged.search("oven", 3)
    with pytest.raises(DataError, match="words are of other chunks"):
        damaged.check()


@pytest.mark.parametrize("length", ["zeroblob(2)", "zeroblob(4)", "x'8080'"])
def test_damaged_lengths_are_noticed(tmp_path: Path, length: str) -> None:
    saved_and_changed(tmp_path / "index", f"UPDATE words_docsize SET sz = {length}")
    with pytest.raises(DataError, match="damaged"):
        SqliteIndex.load(tmp_path / "index").search("oven", 3)


@pytest.mark.parametrize("filling", [b"\0", b"\xff", b"7"])
def test_a_damaged_page_is_told(tmp_path: Path, filling: bytes) -> None:
    indexed(*some_chunks(0, 50)).save(tmp_path / "index")
    file = tmp_path / "index" / FILE
    whole = file.read_bytes()
    chunks = list(SqliteIndex.load(tmp_path / "index").chunks())
    num_told = 0
    for start in range(0, len(whole), 4096):
        file.write_bytes(whole[:start] + filling * 4096 + whole[start + 4096 :])
        for look in (
            lambda index: index.fingerprint,
            len,
            lambda index: index.search("oven", 3, None),
            lambda index: index.get([chunks[0].id]),
            lambda index: list(index.chunks()),
            SqliteIndex.check,
        ):
            try:
                look(SqliteIndex.load(tmp_path / "index"))
            except DataError:  # any other error fails
                num_told += 1
    assert num_told > 20
