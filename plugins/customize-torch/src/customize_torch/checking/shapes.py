"""Models with random weights in a folder, of the shapes that people run.

Shape legend: S sequences.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from customize import Batch, ModelFolder
from customize.testing import write_tiny_model
from customize_torch import holding, llama
from customize_torch.kernels import PLAIN

_SHARD = 4 << 30  # bytes
_SPREAD = 0.02


@attrs.frozen(kw_only=True)
class Size:
    """A shape by the names of config.json, and what follows from it; how its base is held."""

    config: Mapping[str, Any]
    token_budget: int
    base: str = holding.PLAIN

    @property
    def matrices(self) -> int:
        """Weights that a token is multiplied with: all linear layers and the head."""
        c = self.config
        head_dim = c.get("head_dim") or c["hidden_size"] // c["num_attention_heads"]
        queries = c["hidden_size"] * head_dim * c["num_attention_heads"]
        keys = c["hidden_size"] * head_dim * c["num_key_value_heads"]
        inner = c["hidden_size"] * c["intermediate_size"]
        layer = 2 * queries + 2 * keys + 3 * inner
        return int(c["num_hidden_layers"] * layer + c["hidden_size"] * c["vocab_size"])

    def attention_flops(self, length: int) -> float:
        """Of a token in a causal sequence of ``length``, forward only: 2 · 2 · H · D · length/2."""
        c = self.config
        width = c["num_attention_heads"] * (
            c.get("head_dim") or c["hidden_size"] // c["num_attention_heads"]
        )
        return 2.0 * width * length * c["num_hidden_layers"]

    @property
    def cached_bytes(self) -> int:
        """Of a token in the cache, in bf16."""
        c = self.config
        head_dim = c.get("head_dim") or c["hidden_size"] // c["num_attention_heads"]
        return int(4 * c["num_hidden_layers"] * c["num_key_value_heads"] * head_dim)


def write(size: Size, folder: Path) -> ModelFolder:
    """A model of this shape; its tokenizer is that of the kit's tiny model."""
    tiny = write_tiny_model(folder.with_name(f"{folder.name}.tiny"))
    folder.mkdir(parents=True)
    for file in tiny.path.iterdir():
        if file.suffix == ".json" and file.name != "config.json":
            shutil.copy(file, folder)
    (folder / "config.json").write_text(json.dumps(size.config), "utf-8")
    shape = llama.shape_of(size.config)
    if shape is None:
        raise AssertionError("the shapes of this file are llamas")
    with torch.device("meta"):
        model = llama.CausalLM(shape, PLAIN)
    _write_shards(folder, dict(model.named_parameters()))
    return ModelFolder(folder, folder.name, f"random-{folder.name}")


def _write_shards(folder: Path, wanted: Mapping[str, Tensor]) -> None:
    places: dict[str, str] = {}
    for number, names in enumerate(_shards(wanted)):
        file = f"model-{number}.safetensors"
        save_file({name: _random(name, wanted[name]) for name in names}, folder / file)
        places |= dict.fromkeys(names, file)
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": places}), "utf-8")


def _shards(wanted: Mapping[str, Tensor]) -> Iterator[list[str]]:
    names: list[str] = []
    size = 0
    for name, tensor in wanted.items():
        if names and size + 2 * tensor.numel() > _SHARD:
            yield names
            names, size = [], 0
        names.append(name)
        size += 2 * tensor.numel()
    yield names


def _random(name: str, like: Tensor) -> Tensor:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    noise = torch.randn(like.shape, dtype=torch.bfloat16, device=device) * _SPREAD
    return (noise + 1 if "norm" in name else noise).cpu()


def bases() -> tuple[str, ...]:
    """The ways that a base can be held in here."""
    made = (base for base, maker in holding.MAKERS.items() if find_spec(maker))
    return holding.PLAIN, *made


def packed(size: Size, num_sequences: int, length: int, seed: int = 0) -> Batch:
    """Random tokens, every one but the first of a sequence trained on; weights sum to 1."""
    rng = np.random.default_rng(seed)
    count = num_sequences * length
    tokens = rng.integers(0, size.config["vocab_size"], count).astype(np.int32)
    weights = np.full((num_sequences, length), 1 / (num_sequences * (length - 1)), np.float32)
    weights[:, 0] = 0
    offsets = np.arange(0, count + 1, length, dtype=np.int64)
    return Batch(tokens, offsets, {"weights": weights.reshape(-1)})
