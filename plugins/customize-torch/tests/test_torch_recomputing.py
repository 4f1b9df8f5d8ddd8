"""Recomputed activations: the same gradients to the bit, less memory, and a decision told."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import attrs
import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from customize import Batch, CrossEntropy, Full, LoRA, ModelFolder
from customize_torch.backend import CPU
from customize_torch.recomputing import kept_numbers
from customize_torch.session import TorchSession


def session_of(model: ModelFolder, adapter: LoRA | Full, **options: object) -> TorchSession:
    engine = CPU(dtype="float32", **options).load(model)  # type: ignore[arg-type]
    session = engine.open(adapter, seed=1)
    assert isinstance(session, TorchSession)
    return session


@pytest.mark.parametrize("adapter", [LoRA(rank=4), Full()], ids=["lora", "full"])
def test_gradients_are_the_same_to_the_bit(
    model: ModelFolder, batch: Batch, adapter: LoRA | Full
) -> None:
    kept = session_of(model, adapter, recompute="never")
    again = session_of(model, adapter, recompute="always")
    for session in (kept, again):
        session.forward_backward(batch, CrossEntropy())
    assert kept.gradients.keys() == again.gradients.keys()
    for key, gradient in kept.gradients.items():
        assert torch.equal(gradient, again.gradients[key]), key


def saved_bytes(session: TorchSession, batch: Batch) -> int:
    """What autograd holds between the forward and the backward pass, counted by its own hooks."""
    kept: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        session.forward_backward(batch, CrossEntropy())
    return sum(kept.values())


def test_less_is_kept(model: ModelFolder, batch: Batch) -> None:
    kept = saved_bytes(session_of(model, LoRA(rank=4), recompute="never"), batch)
    again = saved_bytes(session_of(model, LoRA(rank=4), recompute="always"), batch)
    assert again < kept / 2


@pytest.fixture
def long(batch: Batch) -> Batch:
    """40 times as many tokens."""
    rows = [(batch.tokens, {"weights": batch.weights})] * 40
    return Batch.from_sequences(rows, groups=list(range(40)))


def test_auto_recomputes_beyond_the_limit_and_says_so(
    model: ModelFolder, batch: Batch, long: Batch, caplog: pytest.LogCaptureFixture
) -> None:
    session = session_of(model, LoRA(rank=4), activation_mb=2, token_budget=10_000)
    with caplog.at_level(logging.INFO, logger="customize_torch"):
        session.forward_backward(batch, CrossEntropy())
        assert "computed again" not in caplog.text
        session.forward_backward(long, CrossEntropy())
    assert "computed again in the backward pass" in caplog.text


def test_auto_recomputes_a_first_piece_beyond_the_limit(
    model: ModelFolder, batch: Batch, long: Batch, caplog: pytest.LogCaptureFixture
) -> None:
    limited = {"activation_mb": 2, "token_budget": 10_000}
    session = session_of(model, LoRA(rank=4), **limited)
    with caplog.at_level(logging.INFO, logger="customize_torch"):
        session.forward(long)  # it keeps nothing for a gradient
        assert "computed again" not in caplog.text
        first = saved_bytes(session, long)
        assert "computed again in the backward pass" in caplog.text
        caplog.clear()
        session.forward_backward(batch, CrossEntropy())
        assert "computed again" not in caplog.text
        session.forward_backward(long, CrossEntropy())  # what the first kept was not all
    assert "computed again in the backward pass" in caplog.text
    never = session_of(model, LoRA(rank=4), recompute="never", token_budget=10_000)
    assert first < saved_bytes(never, long) / 2


def test_what_a_piece_is_expected_to_keep_is_near_what_it_keeps(
    model: ModelFolder, tmp_path: Path
) -> None:
    folder = shutil.copytree(model.path, tmp_path / "wide")
    wide = {"hidden_size": 192, "intermediate_size": 512, "head_dim": 48}
    LlamaForCausalLM(LlamaConfig.from_pretrained(folder, **wide)).save_pretrained(folder)
    model = attrs.evolve(model, path=folder)
    row = np.arange(200), {"weights": np.arange(200) > 0}
    session = session_of(model, LoRA(rank=1), recompute="never")
    base = session.policy.base
    weights = sum(tensor.nbytes for tensor in base.model.parameters())  # they are there anyway
    kept = saved_bytes(session, Batch.from_sequences([row])) - weights
    expected = 4 * 200 * kept_numbers(base.switchboard.layers.values())
    assert expected == pytest.approx(kept, rel=0.2)
