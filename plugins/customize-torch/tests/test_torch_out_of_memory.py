"""Wherever memory runs out, what would help is told, and what was learnt is saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

import attrs
import numpy as np
import pytest
import torch

import customize
from customize import (
    AdamW,
    Adapter,
    Batch,
    CrossEntropy,
    Full,
    LoRA,
    ModelFolder,
    OutOfMemoryError,
    Prompt,
    Sampling,
    differentiate,
)
from customize_torch import loading, optimizer, policy
from customize_torch.backend import CPU
from customize_torch.group.each import loaded
from customize_torch.group.sharded import _Fixed as Fixed
from customize_torch.remedies import is_out_of_memory
from customize_torch.session import TorchSession, TorchSnapshot

ROWS = [
    {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b" * n}]}
    for n in (8, 9, 10, 11)
]
ADAM = AdamW(lr=1e-2)


def run_out(*given: Any, **more: Any) -> NoReturn:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")


def opened(model: ModelFolder, adapter: Adapter | None = None, **options: Any) -> TorchSession:
    session = CPU(dtype="float32", **options).load(model).open(adapter or LoRA(), seed=1)
    assert isinstance(session, TorchSession)
    return session


def test_what_is_set_already_is_not_advised(
    model: ModelFolder, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = opened(model, recompute="always")
    monkeypatch.setattr(policy.Policy, "logprobs", run_out)
    cheapest = r"From the cheapest: --set adapter\.rank=4 \(a smaller adapter; in a new folder\)"
    with pytest.raises(OutOfMemoryError, match=cheapest) as told:
        session.forward_backward(batch, CrossEntropy())
    assert "recompute" not in str(told.value)
    assert "base=int8" in str(told.value)


def test_what_it_advises_are_settings_of_a_command(
    model: ModelFolder, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = opened(model)
    monkeypatch.setattr(policy.Policy, "logprobs", run_out)
    with pytest.raises(OutOfMemoryError) as told:
        session.forward_backward(batch, CrossEntropy())
    here = "--set backend=cpu --set backend_options."
    same = f"{here}recompute=always (the same bits, a quarter to a third slower), "
    anew = f"{here}base=int8 (the base in 8 bits, rounded, and slower; in a new folder), "
    assert same in str(told.value)
    assert anew in str(told.value)
    assert "tokens at most (in a new folder)" in str(told.value)


def test_what_many_processes_are_advised_are_options_of_each(
    model: ModelFolder, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = loaded(CPU(dtype="float32"), model, "ray").open(LoRA())
    monkeypatch.setattr(policy.Policy, "logprobs", run_out)
    told = "--set backend=ray --set backend_options.on_options.recompute=always "
    with pytest.raises(OutOfMemoryError, match=told):
        session.forward_backward(batch, CrossEntropy())


def test_all_weights_are_not_trained_on_a_base_in_few_bits(
    model: ModelFolder, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = opened(model, Full())
    monkeypatch.setattr(policy.Policy, "logprobs", run_out)
    with pytest.raises(OutOfMemoryError, match=r"--set 'adapter=\{rank: 16\}' ") as told:
        session.forward_backward(batch, CrossEntropy())
    assert "base=" not in str(told.value)


def test_one_completion_that_does_not_fit_says_what_would(
    model: ModelFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = opened(model)
    monkeypatch.setattr(policy.Policy, "hidden", run_out)
    prompts = [Prompt(np.arange(40), n=8)]
    with pytest.raises(OutOfMemoryError, match=r"a completion of at most 20 .*base=int8") as told:
        session.sample(prompts, Sampling(max_tokens=20))
    assert "token_budget" not in str(told.value)  # it was halved as far as it goes
    assert "recompute" not in str(told.value)  # it helps a gradient alone


def test_where_others_take_part_sampling_says_how_to_draw_fewer_at_once(
    model: ModelFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = opened(model).base()
    assert isinstance(snapshot, TorchSnapshot)
    base = snapshot.policy.base
    whole = attrs.evolve(base, place=attrs.evolve(base.place, sharded=True))
    snapshot.policy = attrs.evolve(snapshot.policy, base=whole)
    snapshot.budget = Fixed(snapshot.budget.tokens, snapshot.budget.own)
    tried: list[int] = []

    def hidden(self: policy.Policy, tokens: torch.Tensor, *more: Any) -> NoReturn:
        tried.append(len(tokens))
        run_out()

    monkeypatch.setattr(policy.Policy, "hidden", hidden)
    prompts = [Prompt(np.arange(40), n=8)]
    told = r"8 completions .*: --set backend=cpu --set backend_options\.token_budget=15 \(half"
    with pytest.raises(OutOfMemoryError, match=told):
        snapshot.sample(prompts, Sampling(max_tokens=20))
    assert len(tried) == 1


def few_at_once(monkeypatch: pytest.MonkeyPatch, most: int) -> list[int]:
    """Memory holds the logits of so many rows; how many were computed together, as they were."""
    fitted: list[int] = []
    whole = policy.Policy.logits

    def logits(self: policy.Policy, hidden: torch.Tensor) -> torch.Tensor:
        if len(hidden) > most:
            run_out()
        fitted.append(len(hidden))
        return whole(self, hidden)

    monkeypatch.setattr(policy.Policy, "logits", logits)
    return fitted


ENDING = Sampling(max_tokens=12, temperature=0.8, stop_tokens=tuple(range(0, 260, 9)))


def test_completions_that_do_not_fit_together_are_drawn_in_halves_as_they_would_have_been(
    model: ModelFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = opened(model)
    prompts = [Prompt(np.arange(length), n=5, seed=length) for length in (4, 9, 17)]
    wanted = session.sample(prompts, ENDING).result()
    fitted = few_at_once(monkeypatch, 4)
    told: dict[tuple[int, int], list[int]] = {}

    def on_token(prompt: int, index: int, token: int) -> None:
        told.setdefault((prompt, index), []).append(token)

    found = session.sample(prompts, ENDING, on_token).result()
    assert max(fitted) <= 4
    for i, (one, other) in enumerate(zip(wanted, found, strict=True)):
        assert [c.tokens.tolist() for c in one] == [c.tokens.tolist() for c in other]
        assert [c.tokens.tolist() for c in other] == [told[i, j] for j in range(5)]
        for a, b in zip(one, other, strict=True):
            np.testing.assert_allclose(a.logprobs, b.logprobs, atol=1e-5)


def test_how_many_fit_is_remembered(model: ModelFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    session = opened(model)
    few_at_once(monkeypatch, 4)
    prompts = [Prompt(np.arange(9), n=8)]
    session.sample(prompts, ENDING)
    monkeypatch.undo()
    fitted = few_at_once(monkeypatch, 8)  # there would be room for more
    session.snapshot().sample(prompts, ENDING)
    assert max(fitted) == 4
    fitted.clear()
    session.sample([Prompt(np.arange(4), n=8)], ENDING)  # nothing is known of shorter ones
    assert max(fitted) == 8


@pytest.mark.parametrize(
    "text",
    [
        "[enforce fail at alloc_cpu.cpp:121] data. DefaultCPUAllocator: not enough memory: you "
        "tried to allocate 1 bytes.",
        "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: "
        "you tried to allocate 1 bytes. Error code 12 (Cannot allocate memory)",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "CUDA error: out of memory\nCompile with `TORCH_USE_CUDA_DSA` to enable device-side "
        "assertions.",
        "HIP error: out of memory",
        "CUDA driver error: out of memory",
        "Triton Error [CUDA]: out of memory",
    ],
)
def test_memory_that_ran_out_is_known_by_its_words(text: str) -> None:
    assert is_out_of_memory(RuntimeError(text))


def test_other_errors_of_a_device_are_not_taken_for_it() -> None:
    told = "CUDA error: no kernel image is available for execution on the device"
    assert not is_out_of_memory(RuntimeError(told))


def test_the_budget_that_sampling_proposes_draws_half_as_many_at_once(
    model: ModelFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    whole = policy.Policy.logits

    def logits(self: policy.Policy, hidden: torch.Tensor) -> torch.Tensor:
        seen.append(len(hidden))
        return whole(self, hidden)

    monkeypatch.setattr(policy.Policy, "logits", logits)
    session = opened(model, token_budget=15)
    session.sample([Prompt(np.arange(40), n=8)], Sampling(max_tokens=20, stop_tokens=()))
    assert max(seen) == 4


def test_distributions_say_it_too(model: ModelFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    session = opened(model)
    monkeypatch.setattr(policy.Policy, "hidden", run_out)
    with pytest.raises(OutOfMemoryError, match=r"the distributions of 30 tokens"):
        session.distributions(np.arange(30, dtype=np.int32), 3)


def test_a_step_that_does_not_fit_leaves_all_as_it_was(
    model: ModelFolder, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = opened(model, Full())
    session.forward_backward(batch, CrossEntropy())
    before = session.policy
    with monkeypatch.context() as patched:
        patched.setattr(optimizer, "_bunches", run_out)
        with pytest.raises(OutOfMemoryError, match=r"a step of the optimizer.*adapter=\{rank"):
            session.optim_step(ADAM)
    assert session.policy is before
    assert session.optim_step(ADAM).result() == 0.0  # nothing of it goes into the next


def test_a_pass_before_the_gradient_that_does_not_fit_leaves_nothing_pending(
    model: ModelFolder, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = opened(model)
    coupled = differentiate(lambda logprobs, of: (logprobs.sum() / 100) ** 2, couples="batch")
    session.forward_backward(batch, coupled)
    with monkeypatch.context() as patched:
        patched.setattr(policy.Policy, "logprobs", run_out)
        with pytest.raises(OutOfMemoryError):
            session.forward_backward(batch, coupled)
    assert session.optim_step(ADAM).result() == 0.0


def test_opening_says_what_is_trained_is_too_much(
    model: ModelFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = CPU(dtype="float32").load(model)
    monkeypatch.setattr(optimizer, "start", run_out)
    with pytest.raises(OutOfMemoryError, match=r"what is trained.*adapter.rank=4"):
        engine.open(LoRA())
    with pytest.raises(OutOfMemoryError, match=r"what is trained.*adapter=\{rank"):
        engine.open(Full())


def test_loading_says_how_the_base_is_held_smaller(
    model: ModelFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "load_file", run_out)
    with pytest.raises(OutOfMemoryError, match=r"the base.*base=int8.*base=nf4") as told:
        CPU(dtype="float32").load(model)
    assert "token_budget" not in str(told.value)


def test_what_has_run_out_is_freed_when_it_is_told(
    model: ModelFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = CPU(dtype="float32").load(model)
    monkeypatch.setattr(optimizer, "start", run_out)
    with pytest.raises(OutOfMemoryError) as told:
        engine.open(LoRA())
    assert told.value.__context__ is None


def test_a_run_whose_optimizer_runs_out_is_saved_to_the_last_whole_step(
    model: ModelFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, taken = optimizer.step, 0

    def step(*given: Any) -> Any:
        nonlocal taken
        taken += 1
        if taken == 3:
            run_out()
        return whole(*given)

    monkeypatch.setattr(optimizer, "step", step)
    with pytest.raises(OutOfMemoryError, match=r"the last good checkpoint is .*2"):
        customize.train(
            model=model.path,
            data=ROWS,
            to=tmp_path / "run",
            options={"batch_size": 1, "epochs": 1},
            backend=CPU(dtype="float32"),
            checkpoint_every=100,
        )
