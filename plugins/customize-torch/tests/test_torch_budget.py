"""When memory runs out the micro-batch is halved; batch, loss and gradient stay the same."""

from __future__ import annotations

import itertools
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import customize
from customize import Batch, CrossEntropy, LoRA, ModelFolder, Observer, OutOfMemoryError, Step
from customize_torch.backend import CPU
from customize_torch.policy import Policy
from customize_torch.session import TorchSession

SMALL = 64  # tokens that this machine's memory holds


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A machine whose memory holds few tokens; the sizes of the pieces that fitted."""
    fitted: list[int] = []
    whole = Policy.logprobs

    def logprobs(self: Policy, batch: Batch) -> torch.Tensor:
        if batch.num_tokens > SMALL:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
        fitted.append(batch.num_tokens)
        return whole(self, batch)

    monkeypatch.setattr(Policy, "logprobs", logprobs)
    return fitted


def opened(model: ModelFolder, token_budget: int = 400) -> TorchSession:
    session = CPU(dtype="float32", token_budget=token_budget).load(model).open(LoRA(), seed=1)
    assert isinstance(session, TorchSession)
    return session


def step(session: TorchSession, batch: Batch) -> tuple[float, float]:
    loss = session.forward_backward(batch, CrossEntropy()).result().loss
    return loss, session.optim_step(customize.AdamW(lr=1e-2)).result()


def test_the_step_is_that_of_a_larger_machine(
    model: ModelFolder, batch: Batch, request: pytest.FixtureRequest
) -> None:
    expected = step(opened(model), batch)
    fitted = request.getfixturevalue("small")
    assert step(opened(model), batch) == pytest.approx(expected, rel=1e-6)
    assert max(fitted) <= SMALL < batch.num_tokens


def test_what_fits_is_remembered_through_save_and_load(
    model: ModelFolder, batch: Batch, small: list[int], tmp_path: Path
) -> None:
    session = opened(model)
    step(session, batch)
    session.save(tmp_path)
    found = json.loads((tmp_path / "state.json").read_text())["token_budget"]
    assert found == 100  # 400 halved twice
    later = opened(model)
    later.load(tmp_path)
    small.clear()
    step(later, batch)
    assert sum(small) == batch.num_tokens  # nothing was tried that did not fit


@pytest.mark.parametrize(("asked", "reached"), [(64, 16), (32, 32), (128, 128), (8, 8)])
def test_a_budget_that_is_newly_asked_takes_the_place_of_what_was_reached(
    model: ModelFolder, tmp_path: Path, asked: int, reached: int
) -> None:
    before = opened(model, 64)
    before.budget.tokens = 16  # as where memory ran out twice
    before.save(tmp_path)
    later = opened(model, asked)
    later.load(tmp_path)
    assert later.budget.tokens == reached


def test_of_a_state_that_lacks_what_was_asked_the_lower_budget_counts(
    model: ModelFolder, tmp_path: Path
) -> None:
    opened(model, 64).save(tmp_path)
    state = json.loads((tmp_path / "state.json").read_text())
    del state["asked_token_budget"]
    (tmp_path / "state.json").write_text(json.dumps(state))
    for asked, reached in ((128, 64), (32, 32)):
        later = opened(model, asked)
        later.load(tmp_path)
        assert later.budget.tokens == reached


def test_other_errors_are_not_taken_for_it(
    model: ModelFolder, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Policy, batch: Batch) -> torch.Tensor:
        raise RuntimeError("a kernel failed")

    monkeypatch.setattr(Policy, "logprobs", broken)
    with pytest.raises(RuntimeError, match="a kernel failed"):
        opened(model).forward_backward(batch, CrossEntropy())


def test_what_cannot_be_cut_says_the_cheapest_fix_and_leaves_nothing(
    model: ModelFolder, batch: Batch, small: list[int]
) -> None:
    session = opened(model)
    long = np.zeros(SMALL + 1)
    weights = np.ones_like(long)
    weights[0] = 0
    session.forward_backward(batch, CrossEntropy())
    with pytest.raises(OutOfMemoryError, match=r"a sequence \(the longest .* 65 tokens\)") as told:
        session.forward_backward(
            Batch.from_sequences([(long, {"weights": weights})]), CrossEntropy()
        )
    assert "recompute=always" in str(told.value)
    assert session.optim_step(customize.AdamW()).result() == 0.0


def test_a_run_that_meets_it_is_saved_to_the_last_whole_step(
    model: ModelFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b" * n}]}
        for n in (8, 9, 10, 11)
    ]
    options = {"batch_size": 1, "epochs": 1, "lr": 1e-3}
    asked: dict[str, Any] = {
        "model": model.path,
        "data": rows,
        "to": tmp_path / "run",
        "options": options,
    }
    whole, taken = Policy.logprobs, 0

    def logprobs(self: Policy, batch: Batch) -> torch.Tensor:
        nonlocal taken
        taken += 1
        if taken == 4:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return whole(self, batch)

    backend = CPU(dtype="float32")
    monkeypatch.setattr(Policy, "logprobs", logprobs)
    with pytest.raises(OutOfMemoryError, match=r"the last good checkpoint is .*3"):
        customize.train(**asked, backend=backend, checkpoint_every=100)
    monkeypatch.setattr(Policy, "logprobs", whole)
    resumed = customize.train(**asked, backend=backend, checkpoint_every=100)
    undisturbed = customize.train(
        **{**asked, "to": tmp_path / "other"}, backend=backend, checkpoint_every=100
    )
    assert [row["loss"] for row in resumed.metrics] == [row["loss"] for row in undisturbed.metrics]


def test_a_run_that_ran_out_goes_on_with_a_lower_budget_and_says_so(
    model: ModelFolder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked: dict[str, Any] = {
        "model": model.path,
        "data": [{"prompt": "a", "completion": "b" * n} for n in (8, 9, 10)],
        "to": tmp_path / "run",
        "options": {"batch_size": 1, "epochs": 1},
    }
    whole, sizes = Policy.logprobs, itertools.count(1)

    def logprobs(self: Policy, batch: Batch) -> torch.Tensor:
        if next(sizes) == 3:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return whole(self, batch)

    monkeypatch.setattr(Policy, "logprobs", logprobs)
    with pytest.raises(OutOfMemoryError, match=r"the last good checkpoint is .*2"):
        customize.train(**asked, backend=CPU(dtype="float32"))
    lower = CPU(dtype="float32", token_budget=32)
    assert len(customize.train(**asked, backend=lower).metrics) == 3
    told = "backend_options.token_budget was 2048 when the run began and is 32 now"
    assert told in capsys.readouterr().err


class Stopping(Observer):
    """Stops the run after its second step."""

    def on_step(self, step: Step) -> None:
        if step.number == 2:
            raise KeyboardInterrupt


def test_a_stopped_run_computes_as_many_tokens_together_as_it_is_told(
    model: ModelFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {
        "model": model.path,
        "data": [{"prompt": "a", "completion": "b" * 20} for _ in range(16)],
        "to": tmp_path / "run",
        "options": {"batch_size": 4, "epochs": 1},
        "evaluate": False,
    }
    sizes: list[int] = []
    whole = Policy.logprobs

    def logprobs(self: Policy, batch: Batch) -> torch.Tensor:
        sizes.append(batch.num_sequences)
        return whole(self, batch)

    monkeypatch.setattr(Policy, "logprobs", logprobs)
    few = CPU(dtype="float32", token_budget=32)
    with suppress(KeyboardInterrupt):
        customize.train(**asked, backend=few, checkpoint_every=1, observers=[Stopping()])
    assert set(sizes) == {1}
    sizes.clear()
    customize.train(**asked, backend=CPU(dtype="float32"), checkpoint_every=1)
    assert set(sizes) == {4}


def test_what_may_change_is_among_what_decides_the_bits() -> None:
    assert CPU().may_change() == {"token_budget"}
    assert CPU().may_change() < CPU().numerics().keys()
