"""Rotary positions stretched as in Llama 3: a file's divisors are read back as what made them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
import transformers
from exporting import base, source, written
from gguf_writer import f32, write_gguf
from tiny_models import metadata, tensors, tiny_model

import customize
import customize_gguf
from customize_gguf._metadata import Metadata
from customize_gguf._rope import Llama3

TENSOR = "rope_freqs.weight"
HEAD, THETA = 8, 50_000.0


def llama3(
    context: int, factor: float = 8.0, low: float = 1.0, high: float = 4.0
) -> dict[str, object]:
    return {
        "rope_type": "llama3",
        "rope_theta": THETA,
        "factor": factor,
        "low_freq_factor": low,
        "high_freq_factor": high,
        "original_max_position_embeddings": context,
    }


def divisors(said: dict[str, Any], head: int = HEAD, theta: float = THETA) -> list[float]:
    """What llama.cpp's converter writes, in a loop and of single precision as there."""
    freqs = 1.0 / (theta ** (torch.arange(0, head, 2, dtype=torch.float32) / head))
    context, factor = said["original_max_position_embeddings"], said["factor"]
    low, high = said["low_freq_factor"], said["high_freq_factor"]
    made = []
    for freq in freqs:
        wave = float(2 * math.pi / freq)
        if wave < context / high:
            made.append(1.0)
        elif wave > context / low:
            made.append(factor)
        else:
            smooth = (context / wave - low) / (high - low)
            made.append(1 / ((1 - smooth) / factor + smooth))
    return made


def imported(values: npt.ArrayLike, folder: Path, **said: object) -> Path:
    stored = tensors("llama", tiny_model("llama")) | {TENSOR: f32(np.array(values, "<f4"))}
    gguf = write_gguf(folder / "m.gguf", metadata("llama") | said, stored)
    return customize_gguf.convert(gguf, folder / "out", "float32")


def rope_of(folder: Path) -> Any:
    return transformers.AutoConfig.from_pretrained(folder).rope_parameters


def logits_of(folder: Path) -> torch.Tensor:
    load: Any = transformers.AutoModelForCausalLM
    with torch.no_grad():
        logits: torch.Tensor = load.from_pretrained(folder)(torch.arange(60)[None] * 7 % 265).logits
    return logits


@pytest.mark.parametrize(
    "said",
    [
        llama3(8192),  # no wave of so small a head is between
        llama3(16, 32.0),
        llama3(100),
        llama3(4000, 5.5, 0.5, 3.0),
        llama3(10**9),  # nor long enough
    ],
)
def test_a_stretched_model_is_the_same_after_export_and_import(
    said: dict[str, object], tmp_path: Path
) -> None:
    model = base("llama", tmp_path)
    plain = logits_of(model)
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "rope_parameters": said}))
    out = written(source(model), tmp_path / "out", dtype="f32")
    again = customize_gguf.convert(out / "model.gguf", tmp_path / "again", "float32")
    assert rope_of(again) == rope_of(model) == said
    assert torch.equal(logits_of(again), logits_of(model))
    assert torch.equal(logits_of(again), plain) == (said == llama3(10**9))


@pytest.mark.parametrize("said", [llama3(100), llama3(200, 32.0), llama3(8192), llama3(250, 7.3)])
def test_what_llama_cpps_converter_writes_is_read_as_what_it_was_made_of(
    said: dict[str, object], tmp_path: Path
) -> None:
    assert rope_of(imported(divisors(said), tmp_path)) == said


@pytest.mark.parametrize(("head", "factor"), [(128, 8.0), (64, 32.0), (128, 16.0)])
@pytest.mark.parametrize("context", [4096, 8192, 131_072])
def test_heads_of_the_sizes_of_llama_3_tell_the_original_context(
    head: int, factor: float, context: int
) -> None:
    said = llama3(context, factor)
    values = np.array(divisors(said, head, 500_000.0), np.float32)
    read = Llama3.of_divisors(values, 500_000.0, Metadata({}))
    assert read == Llama3(factor, 1.0, 4.0, context)


def test_waves_mixed_between_other_lengths_than_llama_3s_are_refused() -> None:
    values = np.array(divisors(llama3(8192, 8.0, 0.5, 3.0), 128, 500_000.0), np.float32)
    with pytest.raises(customize.ModelError, match="Llama 3"):
        Llama3.of_divisors(values, 500_000.0, Metadata({}))


def test_divisors_of_one_stretch_nothing(tmp_path: Path) -> None:
    folder = imported(np.ones(HEAD // 2), tmp_path)
    assert rope_of(folder)["rope_type"] == "default"


@pytest.mark.parametrize(
    "values",
    [
        [1.0, 2.0, 3.0, 4.0],
        [8.0, 4.0, 1.0, 1.0],
        [0.5, 0.5, 0.5, 0.5],
        [1.0, 1.0, math.nan, 8.0],
        [1.0, 1.0, 8.0, math.inf],
        [0.0, 0.0, 0.0, 0.0],
    ],
)
def test_divisors_that_are_not_those_of_llama_3_are_refused(
    values: list[float], tmp_path: Path
) -> None:
    with pytest.raises(customize.ModelError, match=r"rope_freqs.*Llama 3.*safetensors"):
        imported(values, tmp_path)


def test_what_an_export_keeps_has_to_be_true(tmp_path: Path) -> None:
    said = {
        f"customize.rope.{key}": value
        for key, value in llama3(200).items()
        if not key.startswith("rope")
    }
    with pytest.raises(customize.ModelError, match=r"rope_freqs.*Llama 3"):
        imported(divisors(llama3(100)), tmp_path, **said)


def test_divisors_of_another_size_are_refused(tmp_path: Path) -> None:
    with pytest.raises(customize.ModelError, match=r"rope_freqs.*shape \(5,\).*\(4,\)"):
        imported(np.ones(5), tmp_path)
