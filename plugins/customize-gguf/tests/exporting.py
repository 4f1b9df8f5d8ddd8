"""Tiny models and adapters in folders, and exports of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from gguf_writer import write_gguf
from safetensors.torch import load_file, save_file
from tiny_models import metadata, tensors, tiny_model

import customize
import customize_gguf
from customize import ChatRenderer, Exportable
from customize_gguf.exporter import GGUF

CHAT = (
    "{% for m in messages %}<|start|>{{ m['role'] }}\n{{ m['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)


def base(
    family: str,
    folder: Path,
    pre: str = "smollm",
    said: Mapping[str, object] = MappingProxyType({}),
) -> Path:
    """A tiny random model as a folder, made of what llama.cpp's own converter would write."""
    gguf = folder / "base.gguf"
    about = metadata(family, pre) | {"tokenizer.chat_template": CHAT, **said}
    write_gguf(gguf, about, tensors(family, tiny_model(family)))
    return customize_gguf.convert(gguf, folder / "base", "float32")


def source(model: Path, weights: Path | None = None) -> Exportable:
    renderer = ChatRenderer.from_folder(model)
    return Exportable("tiny", customize.resolve(model), weights or model, renderer)


def adapter(
    model: Path,
    folder: Path,
    rank: int = 2,
    seed: int = 1,
    said: Mapping[str, object] = MappingProxyType({}),
) -> Path:
    """A random LoRA of every linear layer, in PEFT's format."""
    folder.mkdir()
    generator = torch.Generator().manual_seed(seed)
    out = {}
    for name, weight in load_file(model / "model.safetensors").items():
        if name.endswith("_proj.weight"):
            key = f"base_model.model.{name.removesuffix('.weight')}.lora_"
            out[f"{key}A.weight"] = 0.1 * torch.randn(rank, weight.shape[1], generator=generator)
            out[f"{key}B.weight"] = torch.randn(weight.shape[0], rank, generator=generator)
    layers = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    config = {"peft_type": "LORA", "r": rank, "lora_alpha": 3.0, "target_modules": layers, **said}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    save_file(out, folder / "adapter_model.safetensors")
    return folder


def written(what: Exportable, to: Path, **options: Any) -> Path:
    to.mkdir()
    GGUF(**options).write(what, to)
    return to


def package(what: Exportable, to: Path, **options: Any) -> Path:
    """An export with the tokenizer beside it, as packages have it."""
    written(what, to, **options)
    for file in what.model.path.iterdir():
        if file.suffix != ".safetensors":
            shutil.copyfile(file, to / file.name)
    return to
