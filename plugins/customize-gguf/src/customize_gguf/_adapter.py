"""Adapters in PEFT's format, read in numpy: each layer's update of its weight. Knows no GGUF.

Shape legend: R rank, I inputs, O outputs.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from customize import ModelError
from customize_gguf import _safetensors
from customize_gguf._safetensors import Entry, Floats

_PREFIX = "base_model.model."
_A, _B = ".lora_A.weight", ".lora_B.weight"
# What adapter_config.json may say, and what neither a LoRA file of GGUF nor a plain merge can.
_PLAIN: dict[str, Any] = {
    "use_dora": False,
    "fan_in_fan_out": False,
    "bias": "none",
    "modules_to_save": None,
    "rank_pattern": {},
    "alpha_pattern": {},
    "trainable_token_indices": None,
}


@attrs.frozen
class PeftAdapter:
    """An adapter's two factors of each weight, by the weight's name.

    scale: ``W + scale · B A``.
    """

    rank: int
    scale: float
    a_RI: Mapping[str, Entry]
    b_OR: Mapping[str, Entry]

    @classmethod
    def read(cls, folder: Path) -> PeftAdapter:
        """Raises ModelError for what is more than plain LoRA."""
        config = json.loads((folder / "adapter_config.json").read_text("utf-8"))
        for key, plain in _PLAIN.items():
            if config.get(key) not in (plain, None, [], {}, False):
                raise ModelError(f"adapters with {key}={config[key]!r} are not supported as GGUF")
        entries = {
            entry.name.removeprefix(_PREFIX): entry
            for entry in _safetensors.read_file(folder / "adapter_model.safetensors")
        }
        if other := sorted(name for name in entries if not name.endswith((_A, _B))):
            raise ModelError(f"adapters with {other[0]} are not supported as GGUF")
        rank = int(config["r"])
        root = math.sqrt(rank) if config.get("use_rslora") else rank
        return cls(
            rank, float(config["lora_alpha"]) / root, _factors(entries, _A), _factors(entries, _B)
        )

    def update(self, weight: str) -> Floats | None:
        """What is added to a weight: [O, I]."""
        if weight not in self.a_RI:
            return None
        return self.scale * (self.b_OR[weight].load() @ self.a_RI[weight].load())


def _factors(entries: Mapping[str, Entry], suffix: str) -> dict[str, Entry]:
    return {
        f"{name.removesuffix(suffix)}.weight": entry
        for name, entry in entries.items()
        if name.endswith(suffix)
    }
