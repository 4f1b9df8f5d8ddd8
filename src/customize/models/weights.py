"""Weight files: which ones a folder's model is, and what their headers say.

safetensors only. Headers are untrusted: names, types, shapes and offsets are checked against
each other and against the file before any is used. Format:
https://github.com/huggingface/safetensors#format. Knows nothing of tensors' values.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import attrs

from customize._errors import ModelError
from customize.models.trust import read_json

_MAX_HEADER_BYTES = 100 << 20
_MAX_TENSORS = 100_000
_NAME = re.compile(r"(?!.*\.\.)[A-Za-z0-9_.\-]{1,512}")
_FILE = re.compile(r"[A-Za-z0-9_.\-]{1,255}\.safetensors")
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_BITS = {
    "BOOL": 8,
    "U8": 8,
    "I8": 8,
    "F8_E4M3": 8,
    "F8_E5M2": 8,
    "F8_E8M0": 8,
    "F4": 4,
    "I16": 16,
    "U16": 16,
    "F16": 16,
    "BF16": 16,
    "I32": 32,
    "U32": 32,
    "F32": 32,
    "I64": 64,
    "U64": 64,
    "F64": 64,
}


@attrs.frozen
class StoredTensor:
    """Where a tensor lies: bytes ``start`` to ``end`` of its file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of the folder's model, as the field's loaders choose them.

    Raises:
        ModelError: there are none, with a word on pickles where there are some; or an adapter
            lies there too.
    """
    if (folder / "adapter_config.json").is_file():
        # Beside a model transformers would add it in silence: another model than is hashed.
        raise ModelError(
            f"{folder} holds an adapter (adapter_config.json): give the model it was made for, "
            "or merge the two"
        )
    if (folder / "model.safetensors").is_file():
        return [folder / "model.safetensors"]
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        return _shards(index)
    pickles = sorted(path.name for path in folder.iterdir() if path.suffix in _PICKLES)
    if pickles:
        raise ModelError(
            f"{folder} has its weights only as pickle ({pickles[0]}), which can run code when it "
            "is read and never is; convert it to safetensors where you trust it"
        )
    raise ModelError(f"{folder} has no model.safetensors nor model.safetensors.index.json")


def _shards(index: Path) -> list[Path]:
    shards = read_json(index).get("weight_map")
    if not isinstance(shards, dict) or not shards:
        raise ModelError(f"{index} has no weight_map")
    names = set(shards.values()) if all(isinstance(v, str) for v in shards.values()) else {""}
    for name in sorted(names):
        if not _FILE.fullmatch(name):
            raise ModelError(f"{index} names {name!r}, which is not a safetensors file beside it")
        if not (index.parent / name).is_file():
            raise ModelError(f"{index} names {name}, which is missing")
    return [index.parent / name for name in sorted(names)]


def read_header(path: Path) -> list[StoredTensor]:
    """The tensors of a safetensors file, in the order of their bytes.

    Raises:
        ModelError: it is damaged, or says something that cannot be true.
    """
    header, start, size = _raw_header(path)
    tensors = [
        _tensor(path, name, entry, start)
        for name, entry in header.items()
        if name != "__metadata__"
    ]
    tensors.sort(key=lambda tensor: tensor.start)
    at = start
    for tensor in tensors:
        if tensor.start != at:
            raise _damaged(path, f"tensor {tensor.name!r} overlaps another or leaves a gap")
        at = tensor.end
    if at != size:
        raise _damaged(path, f"its tensors end at byte {at}, the file at byte {size}")
    return tensors


def _raw_header(path: Path) -> tuple[dict[str, Any], int, int]:
    """The parsed header, where the data starts, and the file's size."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if not 2 <= length <= min(_MAX_HEADER_BYTES, size - 8):
            raise _damaged(path, f"it announces a header of {length} bytes")
        text = stream.read(length)
    try:
        header = json.loads(text, object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError) as error:
        raise _damaged(path, f"its header is not JSON: {error}") from error
    if not isinstance(header, dict) or len(header) > _MAX_TENSORS:
        raise _damaged(path, f"its header is no object of at most {_MAX_TENSORS} tensors")
    return header, 8 + length, size


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key occurs twice")
    return value


def _tensor(path: Path, name: str, entry: object, start: int) -> StoredTensor:
    if not _NAME.fullmatch(name):
        raise _damaged(path, f"tensor name {name[:80]!r} is not letters, digits, '_', '-' and '.'")
    if not isinstance(entry, dict):
        raise _damaged(path, f"tensor {name!r} is not described")
    dtype = entry.get("dtype")
    shape, span = _counts(entry.get("shape")), _counts(entry.get("data_offsets"))
    if not isinstance(dtype, str) or dtype not in _BITS:
        raise _damaged(path, f"tensor {name!r} has the unknown type {dtype!r}")
    if shape is None or len(shape) > 8 or 0 in shape:
        raise _damaged(path, f"tensor {name!r} cannot have shape {entry.get('shape')!r}")
    if span is None or len(span) != 2:
        raise _damaged(path, f"tensor {name!r} cannot lie at {entry.get('data_offsets')!r}")
    if (span[1] - span[0]) * 8 != math.prod(shape) * _BITS[dtype]:
        raise _damaged(path, f"tensor {name!r} has not the bytes of {dtype} {shape}")
    return StoredTensor(name, dtype, tuple(shape), start + span[0], start + span[1])


def _counts(value: object) -> list[int] | None:
    """The list, where it is one of integers from 0 up."""
    if isinstance(value, list) and all(type(item) is int and item >= 0 for item in value):
        return value
    return None


def _damaged(path: Path, reason: str) -> ModelError:
    return ModelError(f"{path}: damaged or hostile safetensors file: {reason}")
