"""Recomputed activations: the same gradients to the bit, less memory, and a decision told."""

from __future__ import annotations

import logging

import pytest
import torch

from customize import Batch, CrossEntropy, Full, LoRA, ModelFolder
from customize_torch.backend import CPU
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


def test_auto_recomputes_beyond_the_limit_and_says_so(
    model: ModelFolder, batch: Batch, caplog: pytest.LogCaptureFixture
) -> None:
    long = Batch.from_sequences(
        [(batch.tokens, {"weights": batch.weights})] * 40, groups=list(range(40))
    )
    session = session_of(model, LoRA(rank=4), activation_mb=2, token_budget=10_000)
    with caplog.at_level(logging.INFO, logger="customize_torch"):
        session.forward_backward(batch, CrossEntropy())
        assert "computed again" not in caplog.text
        session.forward_backward(long, CrossEntropy())
    assert "computed again in the backward pass" in caplog.text
