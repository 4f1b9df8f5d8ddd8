"""Merged weights: W + s · B A, in float32, stored as asked, one shard in memory at a time.

Knows files, and no session.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from customize import ExportError
from customize_hf import adapters

_PREFIX = "base_model.model."
_WHOLE, _INDEX = "model.safetensors", "model.safetensors.index.json"
_BYTES = {"float32": 4, "bfloat16": 2}


@attrs.frozen
class _Place:
    """A tensor of the base: its name, file, and bytes as it will be stored."""

    name: str
    file: Path
    num_bytes: int


def merge(base: Path | None, weights: Path, to: Path, dtype: str, shard_bytes: int) -> None:
    """Write ``to``/model.safetensors, or shards and their index: the base's tensors with an
    adapter's updates added.

    Without a base ``weights`` are whole already, as after full fine-tuning.

    Raises:
        ExportError: the adapter changes a layer that has no weights of its own.
    """
    source = base or weights
    places = list(_places(source, _BYTES[dtype]))
    updates = {} if base is None else _updates(weights, {place.name for place in places})
    shards = list(_cut(places, shard_bytes))
    names = [_shard_name(number, len(shards)) for number in range(len(shards))]
    for name, shard in zip(names, shards, strict=True):
        tensors = {place.name: _merged(place, updates, dtype) for place in shard}
        save_file(tensors, to / name, metadata={"format": "pt"})
    if len(shards) > 1:
        _write_index(to, names, shards)


def _places(folder: Path, width: int) -> Iterator[_Place]:
    for file in _files(folder):
        with safe_open(file, "pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118  # it is no dict
                shape = tensors.get_slice(name).get_shape()
                yield _Place(name, file, width * torch.Size(shape).numel())


def _files(folder: Path) -> list[Path]:
    """Of the model: other files of tensors may lie beside them."""
    if (folder / _INDEX).is_file() and not (folder / _WHOLE).is_file():
        index = json.loads((folder / _INDEX).read_text("utf-8"))
        return [folder / name for name in sorted(set(index["weight_map"].values()))]
    return [folder / _WHOLE]


def _cut(places: list[_Place], shard_bytes: int) -> Iterator[list[_Place]]:
    """In order, as many as fit; one that is larger stands alone."""
    shard: list[_Place] = []
    for place in places:
        if shard and sum(p.num_bytes for p in shard) + place.num_bytes > shard_bytes:
            yield shard
            shard = []
        shard.append(place)
    yield shard


def _shard_name(number: int, count: int) -> str:
    return _WHOLE if count == 1 else f"model-{number + 1:05d}-of-{count:05d}.safetensors"


def _write_index(to: Path, names: list[str], shards: list[list[_Place]]) -> None:
    total = sum(place.num_bytes for shard in shards for place in shard)
    weight_map = {
        place.name: name for name, shard in zip(names, shards, strict=True) for place in shard
    }
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (to / _INDEX).write_text(json.dumps(index, indent=1), "utf-8")


def _updates(weights: Path, known: set[str]) -> dict[str, tuple[Tensor, Tensor, float]]:
    """By the name of the tensor that is changed: B, A and the scale."""
    adapter = adapters.read(weights)
    tensors = load_file(weights / "adapter_model.safetensors")
    found = {}
    for layer in adapter.layers:
        if f"{layer}.weight" not in known:
            raise ExportError(
                f"the adapter changes {layer}, which shares its weights with another layer of the "
                "base: merged they would change both, so export the adapter itself, without merged"
            )
        down, up = (tensors[f"{_PREFIX}{layer}.lora_{part}.weight"] for part in ("A", "B"))
        found[f"{layer}.weight"] = (up, down, adapter.scale(layer, down.shape[0]))
    return found


def _merged(
    place: _Place, updates: Mapping[str, tuple[Tensor, Tensor, float]], dtype: str
) -> Tensor:
    with safe_open(place.file, "pt") as tensors:
        weight: Tensor = tensors.get_tensor(place.name)
    if place.name in updates:
        up, down, scale = updates[place.name]
        weight = weight.float() + scale * (up.float() @ down.float())
    return weight.to(getattr(torch, dtype)).contiguous()
