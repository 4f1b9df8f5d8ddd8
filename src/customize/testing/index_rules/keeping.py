"""Rules about what an index holds, and what it leaves on the disk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from customize._errors import DataError
from customize.interfaces.index import Chunk
from customize.testing.expecting import expect, expect_raises
from customize.testing.index_rules.subject import CHUNKS, IndexSubject, contents, ids


def check_chunks_come_by_place(subject: IndexSubject) -> None:
    """``chunks()`` gives all there are by document and place, and ``len`` counts them.

    What was added twice is there once.
    """
    index = subject.index([*CHUNKS[::-1], CHUNKS[2]])
    index.add(CHUNKS[1:3])
    expect(list(index.chunks()) == list(CHUNKS), "chunks() are not those added, in order")
    expect(len(index) == len(CHUNKS), f"len is {len(index)} for {len(CHUNKS)} chunks")


def check_chunks_are_got_by_id(subject: IndexSubject) -> None:
    """``get`` gives chunks in the order asked, and passes over what is not there."""
    wanted = [CHUNKS[3], CHUNKS[0]]
    found = subject.index().get([wanted[0].id, "nobody's", wanted[1].id])
    expect(found == wanted, f"get gives {found}")


def check_deleted_chunks_are_gone(subject: IndexSubject) -> None:
    """What is deleted is not found, got or counted; the rest is found, also after a reload.

    An id that is not there is passed over.
    """
    index = subject.index()
    index.delete([CHUNKS[1].id, "nobody's"])
    for one in (index, subject.again(index)):
        found = [hit.chunk for hit in one.search("basil margherita", 9, None)]
        expect(ids(found) == ids([CHUNKS[2], CHUNKS[3]]), f"{len(found)} chunks are found")
        expect(ids(one.chunks()) == ids([*CHUNKS[:1], *CHUNKS[2:]]), "another chunk is gone")


def check_all_are_added_or_none(subject: IndexSubject) -> None:
    """Where the chunks to be added end in an exception, the index is as it was."""

    def failing() -> Iterator[Chunk]:
        yield from CHUNKS[1:]
        raise ZeroDivisionError

    index = subject.index(CHUNKS[:1])
    with suppress(ZeroDivisionError):
        index.add(failing())
    left = len(index.search("basil", 9)), len(index)
    expect(left == (0, 1), f"{left[0]} of what failed are found, and {left[1]} chunks are there")


def check_what_is_loaded_was_saved(subject: IndexSubject) -> None:
    """A loaded index has the same chunks and fingerprint, and finds the same with equal scores."""
    index = subject.index()
    loaded = subject.again(index)
    expect(ids(loaded.chunks()) == ids(index.chunks()), "it has other chunks")
    expect(loaded.fingerprint == index.fingerprint, "it has another fingerprint")
    same = loaded.search("basil margherita", 9, None) == index.search("basil margherita", 9, None)
    expect(same, "it finds otherwise")


def check_changes_stay_out_of_the_folder(subject: IndexSubject) -> None:
    """What is done to a loaded index is not in its folder until it is saved anew."""
    folder = subject.folder() / "index"
    index = subject.index(CHUNKS[:2])
    index.save(folder)
    loaded = index.load(folder)
    loaded.add(CHUNKS[2:])
    loaded.delete([CHUNKS[0].id])
    found = ids(index.load(folder).chunks())
    expect(found == ids(CHUNKS[:2]), f"the folder has {len(found)} chunks after the change")


def check_a_loaded_index_is_changed_and_saved(subject: IndexSubject) -> None:
    """What is added to a loaded index is in what it is then saved as, for who may see it, and what
    is deleted from it is not.
    """
    loaded = subject.again(subject.index(CHUNKS[:2]))
    loaded.delete([CHUNKS[0].id])
    loaded.add(CHUNKS[3:])
    saved = subject.again(loaded)
    wanted = [CHUNKS[1], *CHUNKS[3:]]
    expect(ids(saved.chunks()) == ids(wanted), f"it holds {len(saved)} other chunks")
    for asker, expected in (((), wanted[:1]), (["hr"], wanted)):
        hits = saved.search("nine margherita salary takeover", 9, asker)
        found = ids(hit.chunk for hit in hits)
        expect(found == ids(expected), f"asked as {asker}, {len(found)} chunks are found")


def check_reading_changes_no_file(subject: IndexSubject) -> None:
    """Loading an index and searching it leaves every file of its folder as it was."""
    folder = subject.folder() / "index"
    index = subject.index()
    index.save(folder)
    before = contents(folder)
    index.load(folder).search("basil", 3)
    after = contents(folder)
    changed = sorted(n for n in before | after if before.get(n) != after.get(n))
    expect(not changed, f"reading changes {', '.join(changed)}")


def check_the_fingerprint_is_of_the_chunks(subject: IndexSubject) -> None:
    """It is the same for the same chunks in whatever order they came, and another for others."""
    index, turned = subject.index(), subject.index(CHUNKS[::-1])
    expect(index.fingerprint == turned.fingerprint, "it depends on the order of adding")
    expect(index.fingerprint != subject.index(CHUNKS[1:]).fingerprint, "it misses a chunk")


def check_deleted_text_is_not_saved(subject: IndexSubject) -> None:
    """A saved folder holds nothing of what was deleted before."""
    secret = Chunk("s.md", "The word is xylographquark.", (0, 27))
    index = subject.index([*CHUNKS, secret])
    index.delete([secret.id])
    folder = subject.folder() / "index"
    index.save(folder)
    holding = [f.name for f in folder.rglob("*") if f.is_file() and b"xylograp" in f.read_bytes()]
    expect(not holding, f"the deleted text is in {', '.join(holding)}")


def check_a_folder_without_an_index_is_refused(subject: IndexSubject) -> None:
    """Loading an empty folder is a `DataError`."""
    kind = type(subject.index([]))
    expect_raises(DataError, lambda: kind.load(subject.folder()), "an empty folder")
