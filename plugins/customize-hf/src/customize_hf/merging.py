"""Merged weights: W + s · B A, in float32, stored as asked. Knows files, and no session."""

from __future__ import annotations

import json
import math
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from customize import ExportError

_PREFIX = "base_model.model."


def merge(base: Path | None, weights: Path, to: Path, dtype: torch.dtype) -> None:
    """Write ``to``/model.safetensors: the base's tensors with an adapter's updates added.

    Without a base ``weights`` are whole already, as after full fine-tuning.

    Raises:
        ExportError: the adapter changes a layer that has no weights of its own.
    """
    tensors: dict[str, Tensor] = {}
    for file in sorted((base or weights).glob("*.safetensors")):
        tensors.update(load_file(file))
    if base is not None:
        _add_updates(tensors, weights)
    stored = {name: tensor.to(dtype).contiguous() for name, tensor in tensors.items()}
    save_file(stored, to / "model.safetensors", metadata={"format": "pt"})


def _add_updates(tensors: dict[str, Tensor], adapter: Path) -> None:
    updates = load_file(adapter / "adapter_model.safetensors")
    scale = _scale(json.loads((adapter / "adapter_config.json").read_text("utf-8")))
    for key in [k for k in updates if k.endswith(".lora_A.weight")]:
        layer = key.removeprefix(_PREFIX).removesuffix(".lora_A.weight")
        down, up = updates[key], updates[key.replace("lora_A", "lora_B")]
        if f"{layer}.weight" not in tensors:
            raise ExportError(
                f"the adapter changes {layer}, which shares its weights with another layer of the "
                "base: merged they would change both, so export the adapter itself, without merged"
            )
        weight = tensors[f"{layer}.weight"].float()
        tensors[f"{layer}.weight"] = weight + scale * (up.float() @ down.float())


def _scale(config: dict[str, float]) -> float:
    rank = float(config["r"])
    return float(config["lora_alpha"]) / (math.sqrt(rank) if config.get("use_rslora") else rank)
