"""Hostile and damaged GGUF files: an error that says so, quickly, whatever the bytes."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from gguf_writer import f32, gguf_bytes, text

import customize
from customize_gguf._reader import open_gguf

ONES = f32(np.ones((4, 8), "f4"))
GOOD = gguf_bytes({"a": 1, "b": "x", "c": ["d", "e"]}, {"t": ONES, "u": ONES})


def refused(tmp_path: Path, data: bytes, match: str) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(data)
    with pytest.raises(customize.ModelError, match=match), open_gguf(path):
        pass


def header(num_tensors: int, num_keys: int, rest: bytes = b"", version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, num_tensors, num_keys) + rest


def tensor(shape: tuple[int, ...], code: int = 0, offset: int = 0, name: str = "t") -> bytes:
    sizes = struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
    return text(name) + sizes + struct.pack("<IQ", code, offset)


def test_a_good_file_reads_as_written(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(GOOD)
    with open_gguf(tmp_path / "m.gguf") as file:
        assert dict(file.metadata) == {"a": 1, "b": "x", "c": ["d", "e"]}
        assert np.array_equal(file.tensors["u"].dequantised(), np.ones((4, 8), "f4"))


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    for length in range(len(GOOD)):
        refused(tmp_path, GOOD[:length], "GGUF|ends at byte|beyond the end")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(customize.ModelError, match=r"no\.gguf"), open_gguf(tmp_path / "no.gguf"):
        pass


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"PK\3\4" + GOOD[4:], "not a GGUF"),
        (header(0, 0, version=1), "version"),
        (header(0, 0, version=0x03000000), "version"),
        (header(2**63, 0), "tensors"),
        (header(0, 2**64 - 1), "metadata keys"),
        (header(0, 1, struct.pack("<Q", 2**63)), "name of"),
        (header(0, 1, text("k") + struct.pack("<IQ", 8, 2**64 - 1)), "ends at byte"),
        (header(0, 1, text("k") + struct.pack("<IIQ", 9, 4, 2**62)), "announces"),
        (header(0, 1, text("k") + struct.pack("<IIQ", 9, 8, 2**40)), "announces"),
        (header(0, 1, text("k") + struct.pack("<IIQIQ", 9, 9, 1, 4, 0)), "nested"),
        (header(0, 1, text("k") + struct.pack("<IB", 99, 0)), "unknown"),
        (header(0, 1, struct.pack("<Q", 2) + b"\xff\xfe"), "UTF-8"),
        (header(0, 2, (text("k") + struct.pack("<II", 4, 1)) * 2), "twice"),
        (header(1, 0, tensor((2**32, 2**32, 2**32)) + bytes(64)), "beyond"),
        (header(1, 0, tensor((0, 2**63)) + bytes(64)), "shape"),
        (header(1, 0, tensor((8,), offset=2**63) + bytes(64)), "beyond"),
        (header(1, 0, tensor((8,), offset=4) + bytes(64)), "aligned"),
        (header(1, 0, tensor((8,), code=200) + bytes(64)), "GGML type 200"),
        (header(1, 0, tensor((33,), code=8) + bytes(64)), "shape"),
        (header(1, 0, text("t") + struct.pack("<I", 2**31)), "dimensions"),
        (header(2, 0, tensor((8,)) * 2 + bytes(99)), "overlaps|twice"),
        (header(2, 0, tensor((8,)) + tensor((8,), name="u") + bytes(99)), "overlaps"),
        (header(0, 1, text("general.alignment") + struct.pack("<II", 4, 0)), "alignment"),
        (header(0, 1, text("general.alignment") + struct.pack("<II", 4, 2**31)), "alignment"),
    ],
)
def test_hostile_headers_are_refused(data: bytes, match: str, tmp_path: Path) -> None:
    refused(tmp_path, data, match)
