"""Tensors of safetensors files, as they are stored. Knows numpy, neither torch nor ONNX.

Files are mapped, so that only what is used is read. numpy has no bfloat16: such values are held as
their bits. Format: https://github.com/huggingface/safetensors#format.

Shape legend: as each tensor has it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from customize import ExportError

Floats = npt.NDArray[np.float32]
_TYPES = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}
_WHOLE, _INDEX = "model.safetensors", "model.safetensors.index.json"


@attrs.frozen(eq=False)
class Stored:
    """dtype: F32, F16 or BF16. values: in that type, BF16 as its bits."""

    dtype: str
    values: npt.NDArray[Any]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    def floats(self) -> Floats:
        """In float32, which holds every value of the three types."""
        if self.dtype == "BF16":
            return (self.values.astype(np.uint32) << np.uint32(16)).view(np.float32)
        return np.ascontiguousarray(self.values, np.float32)


def joined(parts: Sequence[Stored]) -> Stored:
    """Below one another; in float32 where they are not of one type."""
    if len(parts) == 1:
        return parts[0]  # a table of a large model is not copied
    if len({part.dtype for part in parts}) == 1:
        return Stored(parts[0].dtype, np.concatenate([part.values for part in parts]))
    return Stored("F32", np.concatenate([part.floats() for part in parts]))


def read_model(folder: Path) -> dict[str, Stored]:
    """The tensors of whole weights, in one file or several."""
    if (folder / _WHOLE).is_file():
        return dict(_read(folder / _WHOLE))
    index = json.loads((folder / _INDEX).read_text("utf-8"))
    files = sorted(set(index["weight_map"].values()))
    return {name: tensor for file in files for name, tensor in _read(folder / file)}


def read_adapter(folder: Path) -> dict[str, Stored]:
    """The tensors of an adapter in PEFT's format, by PEFT's names."""
    return dict(_read(folder / "adapter_model.safetensors"))


def _read(file: Path) -> Iterator[tuple[str, Stored]]:
    mapped = np.memmap(file, np.uint8, "r")
    start = 8 + int(mapped[:8].view("<u8")[0])
    header = json.loads(mapped[8:start].tobytes())
    header.pop("__metadata__", None)
    for name, entry in header.items():
        kind = entry["dtype"]
        if kind not in _TYPES:
            raise ExportError(
                f"{file.name} holds {name} as {kind}: there are {', '.join(_TYPES)}, so give the "
                "model before it was quantized"
            )
        begin, end = (start + offset for offset in entry["data_offsets"])
        # A header may have any length: values need not lie where their type wants them.
        values = np.frombuffer(mapped, _TYPES[kind], (end - begin) // int(_TYPES[kind][-1]), begin)
        yield name, Stored(kind, values.reshape(entry["shape"]))
