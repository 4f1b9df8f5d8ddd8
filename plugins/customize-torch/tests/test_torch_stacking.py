"""An adapter on top of another, against the same weights merged by hand, and against PEFT."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from customize import AdamW, Batch, CrossEntropy, LoRA, ModelError, Session, resolve
from customize.testing.tiny_model import write_tiny_model
from customize_torch.backend import CPU

BELOW = LoRA(rank=4, alpha=8.0, targets=("q_proj", "down_proj"))
ABOVE: dict[str, Any] = {"rank": 3, "alpha": 9.0, "targets": ("q_proj", "v_proj")}


def batch(seed: int) -> Batch:
    rng = np.random.default_rng(seed)
    rows = [(rng.integers(1, 60, 12), {"weights": np.arange(12) > 4}) for _ in range(4)]
    return Batch.from_sequences(rows)


def learn(session: Session, steps: int = 3) -> Session:
    for step in range(steps):
        session.forward_backward(batch(step), CrossEntropy())
        session.optim_step(AdamW(lr=0.02)).result()
    return session


def said(session: Session) -> Any:
    return session.forward(batch(99)).result()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "model").path


@pytest.fixture
def below(tmp_path: Path, model: Path) -> Path:
    """A trained adapter's folder."""
    session = learn(CPU(dtype="float32").load(resolve(model)).open(BELOW, seed=1))
    session.save_weights(tmp_path / "below")
    return tmp_path / "below"


def merged(model: Path, adapter: Path, to: Path) -> Path:
    """The model with ``W + alpha / rank · B A`` in the place of each W, by hand."""
    shutil.copytree(model, to)
    weights, given = (
        load_file(to / "model.safetensors"),
        load_file(adapter / "adapter_model.safetensors"),
    )
    for name, a in given.items():
        if "lora_A" in name:
            b = given[name.replace("lora_A", "lora_B")]
            layer = name.removeprefix("base_model.model.").replace("lora_A.", "")
            weights[layer] = weights[layer] + 8.0 / 4 * (b @ a).to(weights[layer].dtype)
    save_file(weights, to / "model.safetensors", metadata={"format": "pt"})
    return to


def test_it_learns_what_an_adapter_on_merged_weights_does(
    tmp_path: Path, model: Path, below: Path
) -> None:
    stacked = CPU(dtype="float32").load(resolve(model)).open(LoRA(**ABOVE, on=str(below)), seed=5)
    apart = CPU(dtype="float32").load(resolve(merged(model, below, tmp_path / "merged")))
    alone = apart.open(LoRA(**ABOVE), seed=5)
    np.testing.assert_allclose(said(stacked), said(alone), atol=2e-5)
    np.testing.assert_allclose(said(learn(stacked)), said(learn(alone)), atol=2e-4)


def test_saved_it_is_one_adapter_that_peft_loads(tmp_path: Path, model: Path, below: Path) -> None:
    peft = pytest.importorskip("peft")
    transformers = pytest.importorskip("transformers")
    stacked = learn(
        CPU(dtype="float32").load(resolve(model)).open(LoRA(**ABOVE, on=str(below)), seed=5)
    )
    stacked.save_weights(tmp_path / "both")
    base = transformers.AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    theirs = peft.PeftModel.from_pretrained(base, tmp_path / "both")
    seen = batch(99)
    tokens = torch.from_numpy(seen.tokens.reshape(4, 12)).long()
    with torch.no_grad():
        logprobs = theirs(tokens).logits.log_softmax(-1)
    wanted = logprobs[:, :-1].gather(-1, tokens[:, 1:, None])[..., 0].numpy()
    found = said(stacked).reshape(4, 12)[:, 1:]
    scored = seen.scored.reshape(4, 12)[:, 1:]
    np.testing.assert_allclose(found[scored], wanted[scored], atol=5e-5)


def test_a_stack_can_be_stood_on(tmp_path: Path, model: Path, below: Path) -> None:
    engine = CPU(dtype="float32").load(resolve(model))
    second = learn(engine.open(LoRA(**ABOVE, on=str(below)), seed=5))
    second.save_weights(tmp_path / "both")
    third = engine.open(LoRA(rank=2, on=str(tmp_path / "both")), seed=6)
    np.testing.assert_allclose(said(third), said(second), atol=2e-5)


def test_nothing_is_stacked_on_a_whole_model(model: Path) -> None:
    engine = CPU(dtype="float32").load(resolve(model))
    with pytest.raises(ModelError, match="holds a whole model, on which no adapter is stacked"):
        engine.open(LoRA(on=str(model)))
