"""Writing safetensors one tensor at a time, in numpy. Knows nothing of GGUF.

The safetensors package writes all tensors at once and has no bfloat16 in numpy; here only one
tensor is ever in memory. Format: https://github.com/huggingface/safetensors#format.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import attrs
import numpy as np
import numpy.typing as npt

DTYPES = {"bfloat16": ("BF16", 2), "float32": ("F32", 4)}


@attrs.frozen
class Entry:
    """A tensor to be written; ``load`` makes its float32 values when its turn comes."""

    name: str
    shape: tuple[int, ...]
    load: Callable[[], npt.NDArray[np.float32]]


def round_to_bfloat16(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint16]:
    """The bits of the nearest bfloat16, ties to even; NaN stays NaN."""
    bits = values.view(np.uint32)
    rounded = bits + (np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1)))
    # Rounding up could carry a NaN's mantissa into its sign and make it a number.
    rounded = np.where(np.isnan(values), np.uint32(0x7FC00000), rounded)
    return (rounded >> np.uint32(16)).astype("<u2")


def write(path: Path, entries: Iterable[Entry], dtype: str) -> None:
    """Write the tensors in ``dtype`` ("bfloat16" or "float32") and flush them to the disk."""
    entries = sorted(entries, key=lambda entry: entry.name)
    header = _header(entries, *DTYPES[dtype])
    with path.open("wb") as stream:
        stream.write(len(header).to_bytes(8, "little"))
        stream.write(header)
        for entry in entries:
            values = np.ascontiguousarray(entry.load(), dtype=np.float32)
            stored = round_to_bfloat16(values) if dtype == "bfloat16" else values.astype("<f4")
            stream.write(stored.data)
        stream.flush()
        os.fsync(stream.fileno())


def _header(entries: list[Entry], dtype: str, item_bytes: int) -> bytes:
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for entry in entries:
        start, end = end, end + math.prod(entry.shape) * item_bytes
        header[entry.name] = {
            "dtype": dtype,
            "shape": list(entry.shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    return text + b" " * (-len(text) % 8)
