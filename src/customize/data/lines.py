"""Lines of a file with their byte offsets, and the spool that gives other sources lines.

A file is passed over once, in constant memory, while its content is hashed. Knows nothing of
what the lines hold.
"""

from __future__ import annotations

import codecs
import hashlib
import json
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import IO

import attrs

from customize._errors import DataError
from customize.data.faults import RowFault
from customize.data.strict_json import type_name

MAX_LINE = 50 * 2**20  # bytes
_PIECE = 2**20
_FIRST_READ = 2**13

Record = tuple[int, object]  # line or record number, and a row or a RowFault


@attrs.frozen
class Line:
    """``content`` has no line end; a blank line's is empty. ``offset`` is in bytes."""

    number: int
    offset: int
    content: bytes | RowFault


class LineFile:
    """An open file, read once in order and then by offset, from any thread or forked process."""

    def __init__(self, stream: IO[bytes], name: str) -> None:
        self.name = name
        self._stream = stream
        self._lock = threading.Lock()
        self._hash = hashlib.sha256()
        self._as_read = self._state()

    @property
    def descriptor(self) -> int:
        return self._stream.fileno()

    @property
    def sha256(self) -> str:
        """Of the content passed over so far."""
        return self._hash.hexdigest()

    def lines(self) -> Iterator[Line]:
        """Every line from the start, blank ones too; one over `MAX_LINE` bytes is a fault.

        Raises:
            DataError: the file is UTF-16 or compressed.
        """
        offset = 0
        for number, (raw, length) in enumerate(self._raw_lines(), start=1):
            start = offset
            offset += length
            if number == 1:
                mark = self._after_mark(raw)
                raw, start = raw[mark:], start + mark
            if length > MAX_LINE:
                yield Line(number, start, _too_long(length))
            else:
                yield Line(number, start, raw.strip())

    def spooled(self, records: Iterable[Record]) -> Iterator[Line]:
        """Each record as a line of JSON appended to this file; what cannot be one is a fault."""
        offset = 0
        for number, record in records:
            try:
                content = as_line(record)
            except RowFault as fault:
                yield Line(number, offset, fault)
                continue
            self._stream.write(content + b"\n")
            self._hash.update(content + b"\n")
            yield Line(number, offset, content)
            offset += len(content) + 1
        self._stream.flush()

    def finish(self) -> None:
        """Note the file's state, so that a later change is noticed."""
        self._as_read = self._state()

    def at(self, offset: int) -> bytes:
        """The line that begins at ``offset``, with its line end.

        Raises:
            DataError: the file has changed since it was read.
        """
        if self._state() != self._as_read:
            raise DataError(f"{self.name} was changed while it is in use; read it again")
        size, data = _FIRST_READ, b""
        while True:
            piece = self._read(offset + len(data), size)
            data += piece
            end = data.find(b"\n", len(data) - len(piece))
            if end >= 0:
                return data[: end + 1]
            if not piece:
                return data
            size = min(2 * size, _PIECE)

    def _read(self, offset: int, size: int) -> bytes:
        # pread shares no file position, so forked processes do not disturb each other.
        if hasattr(os, "pread"):
            return os.pread(self._stream.fileno(), size, offset)
        with self._lock:
            self._stream.seek(offset)
            return self._stream.read(size)

    def _state(self) -> tuple[int, int]:
        known = os.fstat(self._stream.fileno())
        return known.st_size, known.st_mtime_ns

    def _raw_lines(self) -> Iterator[tuple[bytes, int]]:
        """Each line (only the beginning of one that is too long), and its length in bytes."""
        while raw := self._stream.readline(MAX_LINE + 1):
            self._hash.update(raw)
            length, piece = len(raw), raw
            while length > MAX_LINE and not piece.endswith(b"\n"):
                piece = self._stream.readline(_PIECE)
                if not piece:
                    break
                self._hash.update(piece)
                length += len(piece)
            yield raw, length

    def _after_mark(self, raw: bytes) -> int:
        if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise DataError(f"{self.name} is UTF-16; save it as UTF-8")
        if raw.startswith(b"\x1f\x8b"):
            raise DataError(f"{self.name} is compressed; decompress it first (gunzip)")
        return len(codecs.BOM_UTF8) if raw.startswith(codecs.BOM_UTF8) else 0


def _too_long(length: int) -> RowFault:
    return RowFault("line too long", f"{length:,} bytes; at most {MAX_LINE:,}")


def as_line(record: object) -> bytes:
    """``record`` as JSON in one line.

    Raises:
        RowFault: it holds what JSON cannot.
    """
    if isinstance(record, RowFault):
        raise record
    if not isinstance(record, Mapping):
        raise RowFault("not an object", f"it is {type_name(record)}")
    try:
        line = json.dumps(dict(record), ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError:
        raise RowFault("lone surrogate") from None
    except RecursionError:
        raise RowFault("nested too deeply") from None
    except TypeError as error:
        raise RowFault("wrong type", f"{error}; JSON values are needed") from None
    except ValueError as error:
        reason = "number is not finite" if "float" in str(error) else "not JSON"
        raise RowFault(reason, str(error)) from None
    if len(line) > MAX_LINE:
        raise _too_long(len(line))
    return line
