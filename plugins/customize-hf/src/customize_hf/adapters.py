"""Adapters in PEFT's format: what they use, and what servers can load. Knows no tensor's values.

vLLM reads ``r``, ``lora_alpha``, ``target_modules``, ``bias``, ``modules_to_save``,
``use_rslora`` and ``use_dora`` of adapter_config.json (its peft_helper.py). It refuses some values
of these, and does not read the patterns, so that layers would have another scale in silence.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
from safetensors import safe_open

from customize import ExportError

# What --max-lora-rank of vLLM takes.
RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
# Linear layers of decoders that servers put adapters on, split as most models have them, or fused.
_ATTENTION = frozenset(("q_proj", "k_proj", "v_proj", "o_proj", "qkv_proj"))
MODULES = _ATTENTION | {"gate_proj", "up_proj", "down_proj", "gate_up_proj"}
_PREFIX = "base_model.model."


@attrs.frozen
class PeftAdapter:
    """config: adapter_config.json. layers: names of the base's layers with a low-rank update.

    others: names of tensors that are no part of one.
    """

    config: Mapping[str, Any]
    layers: tuple[str, ...]
    others: tuple[str, ...]

    @property
    def rank(self) -> int:
        return int(self.config["r"])

    def scale(self, layer: str, rank: int) -> float:
        """Of a layer's update, whose matrices have this rank."""
        alpha = _by_pattern(self.config.get("alpha_pattern"), layer, self.config["lora_alpha"])
        return float(alpha) / (math.sqrt(rank) if self.config.get("use_rslora") else rank)

    def unservable(self) -> str | None:
        """Why servers would refuse it, or load something else in silence; None if they do not."""
        config = self.config
        patterns = [name for name in ("rank_pattern", "alpha_pattern") if config.get(name)]
        unknown = sorted({layer.rsplit(".", 1)[-1] for layer in self.layers} - MODULES)
        if fault := self.unmergeable():
            return fault
        if patterns:
            return (
                f"the adapter has {' and '.join(patterns)}, which vLLM does not read, so that its "
                "layers would have another scale: set merged=true"
            )
        if unknown:
            return (
                f"the adapter changes {', '.join(unknown)}, and vLLM takes adapters of "
                f"{', '.join(sorted(MODULES))}: set merged=true"
            )
        if self.rank > RANKS[-1]:
            return f"its rank {self.rank} is above vLLM's highest, {RANKS[-1]}: set merged=true"
        return None

    def unmergeable(self) -> str | None:
        """Why it is more than low-rank updates, which can neither be served nor merged here."""
        used = [name for name in ("use_dora", "modules_to_save") if self.config.get(name)]
        if self.config.get("bias", "none") != "none":
            used.append("bias")
        if used or self.others:
            told = ", ".join(used) or self.others[0]
            return (
                f"the adapter uses {told}, which vLLM refuses and this does not merge: train with "
                "LoRA alone, or merge it with PEFT (merge_and_unload)"
            )
        return None


def read(folder: Path) -> PeftAdapter:
    """The adapter that is in the folder.

    Raises:
        ExportError: its files are missing.
    """
    file = folder / "adapter_model.safetensors"
    if not file.is_file():
        raise ExportError(f"{folder} has no {file.name}")
    config = json.loads((folder / "adapter_config.json").read_text("utf-8"))
    with safe_open(file, "np") as tensors:
        names = list(tensors.keys())
    downs = [name for name in names if name.endswith(".lora_A.weight")]
    paired = {*downs, *(name.replace("lora_A", "lora_B") for name in downs)}
    layers = [name.removeprefix(_PREFIX).removesuffix(".lora_A.weight") for name in downs]
    return PeftAdapter(config, tuple(layers), tuple(sorted(set(names) - paired)))


def served_rank(rank: int) -> int:
    """What to give as --max-lora-rank: the lowest that is legal and enough."""
    return next(legal for legal in RANKS if legal >= rank)


def _by_pattern(pattern: Mapping[str, float] | None, layer: str, otherwise: float) -> float:
    """As PEFT matches: the first key that is the layer's name, or the end of it after a dot."""
    for key, value in (pattern or {}).items():
        if re.match(rf"(.*\.)?({key})$", layer):
            return value
    return otherwise
