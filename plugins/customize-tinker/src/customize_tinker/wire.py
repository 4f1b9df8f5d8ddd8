"""Protobuf's wire format, as far as this protocol needs it. Knows no message.

Written by hand because two descriptors of one file name in a process end in an error, and a server
and its official client may share a process.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from customize import DataError

VARINT, EIGHT, BYTES, FOUR = 0, 1, 2, 5
_SIZES = {EIGHT: 8, FOUR: 4}

Value = int | memoryview


class WireError(DataError):
    """Bytes that are no message."""


def fields(data: memoryview) -> Iterator[tuple[int, int, Value]]:
    """Number, wire type and value of each field, in the order written.

    Raises:
        WireError: the bytes end early, or hold what protobuf does not.
    """
    at, end = 0, len(data)
    while at < end:
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if number == 0:
            raise WireError("field 0 in a protobuf message")
        if kind == VARINT:
            value, at = _varint(data, at)
            yield number, kind, value
            continue
        if kind == BYTES:
            size, at = _varint(data, at)
        elif kind in _SIZES:
            size = _SIZES[kind]
        else:
            raise WireError(f"wire type {kind} in a protobuf message")
        if size > end - at:
            raise WireError(f"a protobuf field of {size} bytes where {end - at} are left")
        yield number, kind, data[at : at + size]
        at += size


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 70:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7
    raise WireError("a protobuf number that does not end")


def as_bytes(value: Value) -> memoryview:
    """Raises WireError where a number stands instead."""
    if isinstance(value, int):
        raise WireError("a number where protobuf has bytes")
    return value


def as_int(value: Value) -> int:
    """A signed 64-bit number."""
    if not isinstance(value, int):
        raise WireError("bytes where protobuf has a number")
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >> 63 else value


def as_double(value: Value) -> float:
    data = as_bytes(value)
    if len(data) != 8:
        raise WireError("a protobuf double of other than 8 bytes")
    number: float = struct.unpack("<d", data)[0]
    return number


def as_text(value: Value) -> str:
    try:
        return str(as_bytes(value), "utf-8")
    except UnicodeDecodeError:
        raise WireError("a protobuf text that is not UTF-8") from None


def as_ints(kind: int, value: Value) -> list[int]:
    """A repeated number: one entry, or many packed."""
    if kind == VARINT:
        return [as_int(value)]
    data, at, out = as_bytes(value), 0, []
    while at < len(data):
        number, at = _varint(data, at)
        out.append(as_int(number))
    return out


class Writer:
    """Appends fields; ``done`` is the message."""

    def __init__(self) -> None:
        self._parts: list[bytes | memoryview] = []

    def varint(self, number: int, value: int) -> Writer:
        self._parts += [_encoded(number << 3), _encoded(value & ((1 << 64) - 1))]
        return self

    def blob(self, number: int, value: bytes | memoryview) -> Writer:
        self._parts += [_encoded(number << 3 | BYTES), _encoded(len(value)), value]
        return self

    def text(self, number: int, value: str) -> Writer:
        return self.blob(number, value.encode())

    def double(self, number: int, value: float) -> Writer:
        self._parts += [_encoded(number << 3 | EIGHT), struct.pack("<d", value)]
        return self

    def message(self, number: int, value: Writer) -> Writer:
        return self.blob(number, value.done())

    def done(self) -> bytes:
        return b"".join(self._parts)


def _encoded(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
