"""What a pass over a large file found, kept in the user's cache: the file is passed over once.

A file is the same while its place, inode, size, both times and 64 pieces of its content are. The
change time cannot be set by hand, and what changed just before the pass is not kept, so a change
in the same tick of the clock is not missed. Where there is no change time (Windows) nothing is
kept. Knows nothing of what rows hold.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import shutil
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs

from customize import __version__
from customize._errors import ModelError
from customize.data.faults import BadRow, ReadReport
from customize.data.row_index import Found, RowIndex
from customize.models.cache import cache_root, made_once

MIN_BYTES = 16 * 2**20  # a smaller file is checked again in a blink

# Part of every key: raise it when the same file may give other rows or faults.
_VERSION = 3
_KIND = "indexes"
_NUMBERS, _MANIFEST = "index.i64", "manifest.json"
_PARTS = ("offsets", "jump_rows", "jump_lines")
_SETTLED_NS = 2 * 10**9  # the coarsest clock of a file system
_NUM_PIECES, _PIECE = 64, 2**12


class StoredIndex:
    """The place of one file's index; made before the file is passed over."""

    def __init__(self, path: Path, descriptor: int, asked: str | None) -> None:
        self._descriptor = descriptor
        self._began_ns = time.time_ns()
        of = f"{_VERSION} {__version__} {sys.byteorder} {asked} {os.path.realpath(path)}"
        self._of_path = hashlib.sha256(of.encode(errors="surrogateescape")).hexdigest()[:32]
        self._key = self._key_now()

    def recall(self) -> Found | None:
        """What an earlier pass over the same content found; damaged ones are removed."""
        folder = cache_root() / _KIND / self._key
        if not self._may_be_kept() or not folder.is_dir():
            return None
        try:
            return _load(folder)
        except (OSError, ValueError, KeyError, TypeError):
            shutil.rmtree(folder, ignore_errors=True)
            return None

    def keep(self, found: Found) -> Found:
        """Store ``found`` and give it back memory-mapped; as it is where it cannot be stored."""
        if not self._may_be_kept() or not len(found.index.offsets):
            return found
        if self._key_now() != self._key:
            return found
        # A cache that cannot be written costs the next reader a pass, and nothing else.
        with suppress(ModelError, OSError, ValueError, KeyError, TypeError):
            folder = made_once(_KIND, self._key, lambda beside: _store(beside, found))
            self._remove_older()
            return _load(folder)
        return found

    def _may_be_kept(self) -> bool:
        known = os.fstat(self._descriptor)
        last_change_ns = max(known.st_mtime_ns, known.st_ctime_ns)
        settled = last_change_ns + _SETTLED_NS < self._began_ns
        return os.name != "nt" and settled and known.st_size >= MIN_BYTES

    def _key_now(self) -> str:
        known = os.fstat(self._descriptor)
        state = (known.st_dev, known.st_ino, known.st_size, known.st_mtime_ns, known.st_ctime_ns)
        digest = hashlib.sha256(repr(state).encode())
        if self._may_be_kept():
            last = known.st_size - _PIECE
            for number in range(_NUM_PIECES):
                offset = last * number // (_NUM_PIECES - 1)
                digest.update(os.pread(self._descriptor, _PIECE, offset))
        return f"{self._of_path}-{digest.hexdigest()[:32]}"

    def _remove_older(self) -> None:
        for folder in (cache_root() / _KIND).glob(f"{self._of_path}-*"):
            if folder.name != self._key:
                shutil.rmtree(folder, ignore_errors=True)


def _store(folder: Path, found: Found) -> None:
    folder.mkdir()
    digest = hashlib.sha256()
    with (folder / _NUMBERS).open("wb") as stream:
        for part in _PARTS:
            numbers = memoryview(getattr(found.index, part)).cast("B")
            stream.write(numbers)
            digest.update(numbers)
    manifest = {
        "format": found.format,
        "kind": found.kind,
        "sha256": found.sha256,
        "report": attrs.asdict(found.report),
        "counts": {part: len(getattr(found.index, part)) for part in _PARTS},
        "index_sha256": digest.hexdigest(),
    }
    (folder / _MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")


def _load(folder: Path) -> Found:
    manifest = json.loads((folder / _MANIFEST).read_text("utf-8"))
    with (folder / _NUMBERS).open("rb") as stream:
        if hashlib.file_digest(stream, "sha256").hexdigest() != manifest["index_sha256"]:
            raise ValueError("the index is damaged")
        numbers = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)).cast("q")
    parts, start = {}, 0
    for part in _PARTS:
        end = start + int(manifest["counts"][part])
        parts[part] = numbers[start:end]
        start = end
    return Found(
        manifest["format"],
        manifest["kind"],
        manifest["sha256"],
        _report(manifest["report"]),
        RowIndex(**parts),
    )


def _report(stored: dict[str, Any]) -> ReadReport:  # JSON values
    bad = tuple(BadRow(**row) for row in stored["bad"])
    return ReadReport(stored["lines"], stored["good"], stored["blank"], bad)
