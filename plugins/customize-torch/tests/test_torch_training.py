"""Log-probabilities and gradients against plain transformers and plain autograd."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import numpy as np
import pytest
import torch
from transformers import LlamaForCausalLM

from customize import (
    AdamW,
    Batch,
    CrossEntropy,
    Engine,
    Full,
    LoRA,
    ModelFolder,
    OptionError,
    differentiate,
)
from customize_torch.backend import CPU
from customize_torch.head import logprobs_of
from customize_torch.session import TorchSession

STEP = AdamW(lr=1e-2, max_grad_norm=0.0)


def one_at_a_time(model: LlamaForCausalLM, batch: Batch) -> torch.Tensor:
    """Log-probabilities [N] by the model's own forward and log_softmax, a sequence each."""
    out = []
    for s in range(batch.num_sequences):
        tokens = torch.from_numpy(batch.take([s]).tokens.astype(np.int64))
        logits = model(tokens[None]).logits[0, :-1].log_softmax(-1)
        out += [torch.zeros(1), logits.gather(1, tokens[1:, None])[:, 0]]
    return torch.cat(out) * torch.from_numpy(batch.scored)


@contextmanager
def adapted(model: LlamaForCausalLM, session: TorchSession) -> Iterator[dict[str, torch.Tensor]]:
    """The same adapter, the naive way: hooks that add s · B A x, for autograd to differentiate."""
    policy = session.policy
    leaves = {k: t.detach().clone().requires_grad_() for k, t in policy.tensors.items()}
    modules = dict(model.named_modules())
    hooks = []
    for key in [k for k in leaves if "lora_A" in k]:
        name = key.removesuffix(".lora_A.weight")
        a, b = leaves[key], leaves[f"{name}.lora_B.weight"]
        hooks.append(
            modules[name].register_forward_hook(
                lambda _m, args, out, a=a, b=b: out + policy.scale * (args[0] @ a.T @ b.T)
            )
        )
    try:
        yield leaves
    finally:
        for hook in hooks:
            hook.remove()


def trained(engine: Engine, batch: Batch, adapter: LoRA | Full | None = None) -> TorchSession:
    """A session one step from its start, so that no tensor is zero."""
    session = engine.open(adapter or LoRA(rank=4), seed=1)
    session.forward_backward(batch, CrossEntropy())
    session.optim_step(STEP).result()
    assert isinstance(session, TorchSession)
    return session


def test_logprobs_equal_a_plain_forward(
    engine: Engine, plain: LlamaForCausalLM, batch: Batch
) -> None:
    with torch.no_grad():
        wanted = one_at_a_time(plain, batch).numpy()
    np.testing.assert_allclose(engine.base().forward(batch).result(), wanted, atol=1e-5)


def test_a_fresh_adapter_changes_nothing(engine: Engine, batch: Batch) -> None:
    fresh = engine.open(LoRA(rank=4)).forward(batch).result()
    np.testing.assert_array_equal(fresh, engine.base().forward(batch).result())


@pytest.mark.parametrize("rslora", [False, True])
def test_lora_gradients_equal_plain_autograd(
    engine: Engine, plain: LlamaForCausalLM, batch: Batch, rslora: bool
) -> None:
    session = trained(engine, batch, LoRA(rank=4, alpha=8, rslora=rslora))
    assert session.policy.scale == pytest.approx(8 / (math.sqrt(4) if rslora else 4))
    output = session.forward_backward(batch, CrossEntropy()).result()
    with adapted(plain, session) as leaves:
        logprobs = one_at_a_time(plain, batch)
        (-(torch.from_numpy(batch.weights) * logprobs).sum()).backward()
    np.testing.assert_allclose(output.logprobs, logprobs.detach().numpy(), atol=1e-5)
    for name, leaf in leaves.items():
        np.testing.assert_allclose(session.gradients[name], leaf.grad, rtol=1e-4, atol=1e-4)


def test_full_gradients_equal_plain_autograd(
    engine: Engine, model: ModelFolder, batch: Batch
) -> None:
    session = engine.open(Full())
    assert isinstance(session, TorchSession)
    session.forward_backward(batch, CrossEntropy())
    naive = LlamaForCausalLM.from_pretrained(model.path, dtype=torch.float32)
    (-(torch.from_numpy(batch.weights) * one_at_a_time(naive, batch)).sum()).backward()
    for name, parameter in naive.named_parameters():
        np.testing.assert_allclose(
            session.gradients[name], parameter.grad, rtol=1e-3, atol=1e-4, err_msg=name
        )


def test_the_heads_gradients_equal_finite_differences() -> None:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(3, 4, generator=generator, dtype=torch.float64).requires_grad_()
    weight = torch.randn(7, 4, generator=generator, dtype=torch.float64).requires_grad_()
    targets = torch.tensor([1, 6, 1])

    def exact() -> torch.Tensor:
        return (hidden @ weight.T).log_softmax(-1).gather(1, targets[:, None]).sum()

    logprobs_of(hidden, weight, targets).sum().backward()
    for leaf in (hidden, weight):
        flat = leaf.data.view(-1)
        for i in range(len(flat)):
            middle = float(flat[i])
            values = []
            for moved in (middle + 1e-6, middle - 1e-6):
                flat[i] = moved
                values.append(float(exact().detach()))
            flat[i] = middle
            assert leaf.grad is not None
            assert float(leaf.grad.view(-1)[i]) == pytest.approx(
                (values[0] - values[1]) / 2e-6, abs=1e-5
            )


@pytest.mark.parametrize("couples", ["token", "sequence", "group", "batch"])
def test_the_gradient_does_not_depend_on_the_cut(
    model: ModelFolder, batch: Batch, couples: Literal["token", "sequence", "group", "batch"]
) -> None:
    def squared(logprobs: torch.Tensor, batch: Batch) -> torch.Tensor:
        if couples == "token":
            return (logprobs**2).sum()
        sums = batch.sum_by_sequence(logprobs)
        if couples == "sequence":
            return (sums**2).sum() * 0.01
        if couples == "batch":
            return sums.sum() ** 2 * 0.001
        return sum((sums[batch.groups == g].sum() ** 2 for g in set(batch.groups)), 0.0) * 0.01

    loss = differentiate(squared, couples=couples)
    gradients = []
    for budget in (1, 1000):
        session = CPU(dtype="float32", token_budget=budget).load(model).open(LoRA(rank=2))
        assert isinstance(session, TorchSession)
        session.forward_backward(batch, loss)
        gradients.append(session.gradients)
    for name, gradient in gradients[0].items():
        scale = float(gradients[1][name].abs().max()) or 1.0
        np.testing.assert_allclose(gradient / scale, gradients[1][name] / scale, atol=1e-6)


def test_a_step_equals_torchs_adamw(engine: Engine, batch: Batch) -> None:
    session = engine.open(LoRA(rank=2))
    assert isinstance(session, TorchSession)
    leaves = {k: t.clone().requires_grad_() for k, t in session.policy.tensors.items()}
    theirs = torch.optim.AdamW(leaves.values(), lr=1e-2, betas=(0.9, 0.95), weight_decay=0.1)
    for _ in range(3):
        session.forward_backward(batch, CrossEntropy())
        for name, leaf in leaves.items():
            leaf.grad = session.gradients[name].clone()
        norm = torch.nn.utils.clip_grad_norm_(leaves.values(), 1.0)
        theirs.step()
        found = session.optim_step(AdamW(lr=1e-2, weight_decay=0.1)).result()
        assert found == pytest.approx(float(norm), rel=1e-5)
    for name, leaf in leaves.items():
        np.testing.assert_allclose(session.policy.tensors[name], leaf.detach(), atol=1e-5)


def test_targets_that_fit_nothing_are_refused(engine: Engine) -> None:
    with pytest.raises(OptionError, match="q_proj"):
        engine.open(LoRA(targets=("query",)))
