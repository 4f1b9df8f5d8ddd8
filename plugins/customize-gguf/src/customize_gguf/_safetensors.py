"""Reading and writing safetensors one tensor at a time, in numpy. Knows no model.

The safetensors package writes all tensors at once and has no bfloat16 in numpy; here only one
tensor is ever in memory. Format: https://github.com/huggingface/safetensors#format.
"""

from __future__ import annotations

import functools
import json
import math
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from customize import ModelError
from customize_gguf._quantization import TENSOR_TYPES

# Both formats call the plain types alike.
_STORED = {kind.name: kind for kind in TENSOR_TYPES.values() if kind.block_values == 1}
DTYPES = {"bfloat16": ("BF16", 2), "float32": ("F32", 4)}
Floats = npt.NDArray[np.float32]


@attrs.frozen
class Entry:
    """A tensor to be written; ``load`` makes its float32 values when its turn comes."""

    name: str
    shape: tuple[int, ...]
    load: Callable[[], Floats]


def read(folder: Path) -> dict[str, Entry]:
    """The tensors of a folder's model by name, whatever files they are cut into.

    Raises:
        ModelError: there are none, or one is stored in a type that is not supported.
    """
    index = folder / "model.safetensors.index.json"
    if index.is_file() and not (folder / "model.safetensors").is_file():
        names = set(json.loads(index.read_text("utf-8"))["weight_map"].values())
    else:
        names = {"model.safetensors"}
    return {e.name: e for name in sorted(names) for e in read_file(folder / name)}


def read_file(path: Path) -> list[Entry]:
    """The tensors of one file; nothing but its header is read before they are loaded."""
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header = json.loads(stream.read(length))
    header.pop("__metadata__", None)
    for name, said in header.items():
        if said["dtype"] not in _STORED:
            raise ModelError(
                f"{path}: tensor {name!r} is stored as {said['dtype']} "
                f"(supported: {', '.join(_STORED)})"
            )
    return [
        Entry(name, tuple(said["shape"]), functools.partial(_load, path, said, 8 + length))
        for name, said in header.items()
    ]


def _load(path: Path, said: dict[str, Any], start: int) -> Floats:
    begin, end = said["data_offsets"]
    raw = np.fromfile(path, np.uint8, count=end - begin, offset=start + begin)
    return _STORED[said["dtype"]].dequantise(raw).reshape(said["shape"])


def round_to_bfloat16(values: Floats) -> npt.NDArray[np.uint16]:
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
