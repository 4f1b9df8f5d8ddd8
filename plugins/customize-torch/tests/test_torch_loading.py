"""Models that cannot be loaded whole are refused, and never filled with random numbers."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from customize import ModelError, ModelFolder
from customize_torch.backend import CPU


@pytest.fixture
def copied(model: ModelFolder, tmp_path: Path) -> ModelFolder:
    """A copy of the tiny model to be damaged."""
    folder = shutil.copytree(model.path, tmp_path / "tiny")
    return ModelFolder(Path(folder), "tiny", "tiny")


def set_config(model: ModelFolder, **keys: object) -> None:
    path = model.path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | keys))


def set_tensors(model: ModelFolder, change: Any) -> None:  # a function from tensors to tensors
    tensors = load_file(model.path / "model.safetensors")
    save_file(change(tensors), model.path / "model.safetensors", metadata={"format": "pt"})


def test_a_missing_tensor_is_named(copied: ModelFolder) -> None:
    gone = "model.layers.1.mlp.up_proj.weight"
    set_tensors(copied, lambda tensors: {k: v for k, v in tensors.items() if k != gone})
    with pytest.raises(ModelError, match=f"lacks 1 of the tensors.*{gone}"):
        CPU(dtype="float32").load(copied)


@pytest.mark.parametrize(
    "keys",
    [
        {"model_type": "nonsense"},
        {"num_hidden_layers": 3},
        {"num_attention_heads": 5},
        {"num_attention_heads": 0},
        {"hidden_size": 64},
        {"rope_scaling": {"type": "nonsense"}},
        {"quantization_config": {"quant_method": "gptq", "bits": 4}},
    ],
    ids=lambda keys: next(iter(keys)),
)
def test_a_config_that_is_not_the_weights_own_is_refused(
    copied: ModelFolder, keys: dict[str, object]
) -> None:
    set_config(copied, **keys)
    told = r"tiny (lacks|cannot be loaded by transformers|holds .* where config\.json implies)"
    with pytest.raises(ModelError, match=told):
        CPU(dtype="float32").load(copied)


def test_tensors_that_are_not_used_are_told(
    copied: ModelFolder, caplog: pytest.LogCaptureFixture
) -> None:
    set_tensors(copied, lambda tensors: {**tensors, "vision.weight": torch.ones(2)})
    with caplog.at_level(logging.WARNING, logger="customize_torch"):
        CPU(dtype="float32").load(copied)
    assert "holds 1 tensors its architecture does not use (vision.weight)" in caplog.text
