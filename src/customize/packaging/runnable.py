"""Files that can be run, told by their names and by what is in them. Loads and runs none."""

from __future__ import annotations

import pickle  # for the number of its newest protocol, and for nothing else
import pickletools
import zipfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import IO

_NAMES = frozenset(
    (
        *(".py", ".pyc", ".pyd", ".so", ".dll", ".dylib", ".exe", ".sh", ".bat", ".cmd", ".ps1"),
        *(".pkl", ".pickle", ".joblib", ".pt", ".pth", ".ckpt"),  # loading a pickle runs it
    )
)
_PROTOCOLS = range(2, pickle.HIGHEST_PROTOCOL + 1)
_OLD = frozenset(("GLOBAL", "INST"))  # instructions that name what is called, in text
_OBJECTS = b"'descr': '|O'"  # of an array of numpy's: what follows is a pickle
_HEADER = 256  # bytes of an array's own
_READ = 1 << 16  # bytes that are looked at


def runs(file: Path) -> bool:
    """Whether it is a program, or a pickle: as it is, or inside a ZIP archive, as torch saves."""
    if file.suffix.lower() in _NAMES:
        return True
    with file.open("rb") as stream:
        return _is_pickle(stream) or _holds_one(stream)


def _is_pickle(stream: IO[bytes]) -> bool:
    head = stream.read(_READ)
    if head.startswith(b"\x93NUMPY"):
        return _OBJECTS in head[:_HEADER]
    names: list[str] = []
    try:
        for instruction, argument, _ in pickletools.genops(_Head(head)):
            if instruction.name == "PROTO" and argument not in _PROTOCOLS:
                return False
            names.append(instruction.name)
    except _PastTheHead:
        return _is_said_by(names)
    except (ValueError, UnicodeError):  # no such instruction, or none that is whole
        return False
    texts = sum("UNICODE" in name or "STRING" in name for name in names)
    return _is_said_by(names) or ("STACK_GLOBAL" in names and texts > 1)


def _is_said_by(names: Sequence[str]) -> bool:
    return names[:1] == ["PROTO"] or not _OLD.isdisjoint(names)


class _PastTheHead(Exception):
    """An instruction takes more than was read."""


class _Head(BytesIO):
    """The first bytes of a file, where there may be more."""

    def read(self, size: int | None = -1) -> bytes:
        if size is not None and size > len(self.getbuffer()) - self.tell():
            raise _PastTheHead
        return super().read(size)

    def readline(self, size: int | None = -1) -> bytes:
        line = super().readline(size)
        if not line.endswith(b"\n"):
            raise _PastTheHead
        return line


def _holds_one(stream: IO[bytes]) -> bool:
    stream.seek(0)
    if not zipfile.is_zipfile(stream):
        return False
    try:
        with zipfile.ZipFile(stream) as archive:
            return any(_is_part_run(archive, name) for name in archive.namelist())
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError):  # none, locked, or unknown
        return False


def _is_part_run(archive: zipfile.ZipFile, name: str) -> bool:
    if Path(name).suffix.lower() in _NAMES:
        return True
    with archive.open(name) as part:
        return _is_pickle(part)
