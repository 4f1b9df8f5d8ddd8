"""Indexes that break one rule each, and an honest one: the core's own."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Self

from customize import Chunk, DataError, Hit, Index
from customize.retrieval.sqlite_index import SqliteIndex


class Textual(SqliteIndex):
    """Headings are not searched."""

    def search(self, query: str, k: int, filter: Collection[str] | None = ()) -> list[Hit]:
        found = super().search(query, k, filter)
        return [hit for hit in found if "open" not in query or "opening" in hit.chunk.text]


class Accented(SqliteIndex):
    def search(self, query: str, k: int, filter: Collection[str] | None = ()) -> list[Hit]:
        found = super().search(query, k, filter)
        return [hit for hit in found if "é" in query or "é" not in hit.chunk.text]


class Spaced(SqliteIndex):
    def search(self, query: str, k: int, filter: Collection[str] | None = ()) -> list[Hit]:
        is_spaced = not any("\u3400" < c < "\ud800" for c in query)
        return super().search(query, k, filter) if is_spaced else []


class Generous(SqliteIndex):
    def search(self, query: str, k: int, filter: Collection[str] | None = ()) -> list[Hit]:
        return super().search(query, 2 if (query, k) == ("basil", 1) else k, filter)


class Eager(SqliteIndex):
    """Finds something for every question."""

    def search(self, query: str, k: int, filter: Collection[str] | None = ()) -> list[Hit]:
        found = super().search(query, k, filter)
        return found or [Hit(chunk, 0.0) for chunk in self.chunks() if query == "zeppelin"][:1]


class Trusting(SqliteIndex):
    """Looks at access after the search: others' chunks take places."""

    def search(self, query: str, k: int, filter: Collection[str] | None = ()) -> list[Hit]:
        self.check_filter(filter)
        found = super().search(query, k, None)
        asker = set(filter or ())
        return [h for h in found if filter is None or not h.chunk.tags or h.chunk.tags & asker]


class Spelling(SqliteIndex):
    """Takes a text apart into tags."""

    def search(self, query: str, k: int, filter: Collection[str] | None = ()) -> list[Hit]:
        return super().search(query, k, None if filter is None else set(filter))


class Parsing(SqliteIndex):
    def search(self, query: str, k: int, filter: Collection[str] | None = ()) -> list[Hit]:
        if query.endswith(" NOT"):
            raise ValueError("syntax error")
        return super().search(query, k, filter)


class Lenient(SqliteIndex):
    def search(self, query: str, k: int, filter: Collection[str] | None = ()) -> list[Hit]:
        return super().search(query, k, filter) if k else []


class Unsorted(SqliteIndex):
    def chunks(self) -> Iterator[Chunk]:
        yield from reversed(list(super().chunks()))


class Sorting(SqliteIndex):
    def get(self, ids: Iterable[str]) -> list[Chunk]:
        return sorted(super().get(ids), key=lambda chunk: chunk.document)


class Keeping(SqliteIndex):
    """Counts a deleted chunk no more, but finds it."""

    def delete(self, ids: Iterable[str]) -> None:
        ids = list(ids)
        if "nobody's" not in ids:
            super().delete(ids)


class Halfway(SqliteIndex):
    def add(self, chunks: Iterable[Chunk]) -> None:
        for chunk in chunks:
            super().add([chunk])


class Forgetful(SqliteIndex):
    @classmethod
    def load(cls, folder: Path) -> Self:
        loaded = super().load(folder)
        if len(loaded) == 5:
            loaded.delete([next(loaded.chunks()).id])
        return loaded


class Attached(SqliteIndex):
    """Remembers what it was loaded from."""

    folder: Path | None = None

    @classmethod
    def load(cls, folder: Path) -> Self:
        loaded = super().load(folder)
        loaded.folder = folder
        return loaded


class Writing(Attached):
    """Saves there at every change."""

    def add(self, chunks: Iterable[Chunk]) -> None:
        super().add(chunks)
        if self.folder is not None:
            beside = self.folder.with_name("beside")
            self.save(beside)
            for file in beside.iterdir():
                file.replace(self.folder / file.name)


class Settled(Attached):
    """Saves what that was, whatever was changed since."""

    def save(self, folder: Path) -> None:
        if self.folder is None:
            super().save(folder)
        else:
            shutil.copytree(self.folder, folder)


class Visiting(SqliteIndex):
    """Writes down that it was opened."""

    @classmethod
    def load(cls, folder: Path) -> Self:
        loaded = super().load(folder)
        (folder / "visits.txt").write_text("one")
        return loaded


class Counting(SqliteIndex):
    """Its fingerprint tells which chunk was the first."""

    first = ""

    def add(self, chunks: Iterable[Chunk]) -> None:
        chunks = list(chunks)
        super().add(chunks)
        self.first = self.first or next((chunk.document for chunk in chunks), "")

    @property
    def fingerprint(self) -> str:
        return super().fingerprint + ("" if self.first < "b" else self.first)


class Leaving(SqliteIndex):
    """Writes down everything that was ever added."""

    log = ""

    def add(self, chunks: Iterable[Chunk]) -> None:
        chunks = list(chunks)
        super().add(chunks)
        self.log += "".join(chunk.text for chunk in chunks)

    def save(self, folder: Path) -> None:
        super().save(folder)
        (folder / "log.txt").write_text(self.log)


class Unfounded(SqliteIndex):
    @classmethod
    def load(cls, folder: Path) -> Self:
        try:
            return super().load(folder)
        except DataError:
            return cls()


LIARS: dict[str, Callable[[], Index]] = {
    "check_a_chunk_is_found_by_its_words": Textual,
    "check_accents_and_case_are_folded": Accented,
    "check_scripts_without_spaces_are_searched": Spaced,
    "check_the_best_come_first": Generous,
    "check_nothing_is_found_where_nothing_fits": Eager,
    "check_only_who_may_see_finds": Trusting,
    "check_a_text_is_no_filter": Spelling,
    "check_a_question_is_no_syntax": Parsing,
    "check_k_is_at_least_one": Lenient,
    "check_chunks_come_by_place": Unsorted,
    "check_chunks_are_got_by_id": Sorting,
    "check_deleted_chunks_are_gone": Keeping,
    "check_all_are_added_or_none": Halfway,
    "check_what_is_loaded_was_saved": Forgetful,
    "check_changes_stay_out_of_the_folder": Writing,
    "check_a_loaded_index_is_changed_and_saved": Settled,
    "check_reading_changes_no_file": Visiting,
    "check_the_fingerprint_is_of_the_chunks": Counting,
    "check_deleted_text_is_not_saved": Leaving,
    "check_a_folder_without_an_index_is_refused": Unfounded,
}
