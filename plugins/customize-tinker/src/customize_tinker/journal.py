"""An append-only file of records, whole or not there. Knows no command.

What was appended survives the process, not a power cut: it is in the system's hands, and not
forced to the disk.
"""

from __future__ import annotations

import json
import os
import struct
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import attrs

# Lengths of head and body, then a checksum of both: little-endian.
_FRAME = struct.Struct("<III")


@attrs.frozen(eq=False)
class Record:
    """head: JSON values. body: bytes as they came."""

    head: dict[str, Any]  # any JSON
    body: bytes = b""


class Journal:
    """Appended to by any thread."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._lock = threading.Lock()
        self._out: BinaryIO = file.open("ab", buffering=0)
        self.num_bytes = self._out.tell()

    def append(self, record: Record) -> None:
        data = encoded(record)
        with self._lock:
            os.write(self._out.fileno(), data)
            self.num_bytes += len(data)

    def close(self) -> None:
        self._out.close()


def read(file: Path) -> Iterator[Record]:
    """Every whole record; what a kill left half-written at the end is cut off."""
    with file.open("rb+") as source:
        whole = 0
        while record := _next(source):
            yield record
            whole = source.tell()
        source.truncate(whole)


def encoded(record: Record) -> bytes:
    head = json.dumps(record.head, separators=(",", ":")).encode()
    checksum = zlib.crc32(record.body, zlib.crc32(head))
    return b"".join([_FRAME.pack(len(head), len(record.body), checksum), head, record.body])


def _next(source: BinaryIO) -> Record | None:
    frame = source.read(_FRAME.size)
    if len(frame) < _FRAME.size:
        return None
    num_head, num_body, checksum = _FRAME.unpack(frame)
    head, body = source.read(num_head), source.read(num_body)
    if len(body) < num_body or zlib.crc32(body, zlib.crc32(head)) != checksum:
        return None
    return Record(json.loads(head), body)
