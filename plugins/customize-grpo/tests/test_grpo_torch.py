"""GRPO through a real model in float32: the same gradient as the brute force, and no mismatch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_grpo_algebra import PUBLISHED, H, brute_force
from toy_rewards import ROWS, GivenRows, likeness, two_turns

import customize
from customize import AdamW, Batch, CrossEntropy, Episode, LoRA, Session
from customize.testing import write_tiny_model
from customize_grpo.gathering import Gatherer, learnable
from customize_grpo.method import GRPO
from customize_grpo.presets import PRESETS

pytest.importorskip("customize_torch")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> customize.Engine:
    from customize_torch.backend import CPU

    folder = tmp_path_factory.mktemp("tiny")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CUSTOMIZE_CACHE", str(folder / "cache"))
        return CPU(dtype="float32").load(write_tiny_model(folder / "model"))


def moved(engine: customize.Engine) -> Session:
    """A session that is no longer its base."""
    session = engine.open(LoRA(rank=4), seed=1)
    tokens = np.arange(1, 40, dtype=np.int32)
    batch = Batch.from_sequences([(tokens, {"weights": np.ones(39) / 39})])
    session.forward_backward(batch, CrossEntropy())
    session.optim_step(AdamW(lr=1e-2)).result()
    return session


@pytest.mark.parametrize("preset", PRESETS)
def test_a_presets_step_is_the_brute_forces(preset: str, engine: customize.Engine) -> None:
    """The episodes are the model's own, its weights have moved since, and both gradients are
    backpropagated by the same engine: one by the method, one as a weighted log-likelihood."""
    method = GRPO(environment=two_turns, preset=preset, group_size=4, batch_size=3, max_tokens=H)
    sampler, session, beside = (moved(engine) for _ in range(3))
    episodes = _gathered(method, sampler)
    reference = engine.base()
    for one in (session, beside):
        one.snapshot("start")
        one.forward_backward(_of_ones(episodes), CrossEntropy())
        one.optim_step(AdamW(lr=3e-3)).result()
    method_session: Any = _WithReference(session, reference)
    batch, _ = method._batch(method_session, episodes)
    output = session.forward_backward(batch, method.objective()).result()
    now, told = _by_sequence(batch, output.logprobs), _said(reference, batch)
    loss, by_token = brute_force(PUBLISHED[preset], episodes, now, told)
    assert output.loss == pytest.approx(loss, rel=1e-5, abs=1e-7)
    weights = -np.concatenate(by_token)
    beside.forward_backward(batch.with_columns(weights=weights), CrossEntropy())
    found, wanted = (one.optim_step(AdamW(lr=0.0)).result() for one in (session, beside))
    assert found > 0
    assert found == pytest.approx(wanted, rel=1e-5)


def _gathered(method: GRPO, session: Session) -> list[Episode]:
    gatherer = Gatherer(method, method.played(), GivenRows(ROWS), 3, {})
    return learnable(method, gatherer.next(session, 1, 1).episodes)


def _of_ones(episodes: Any) -> Batch:
    spoken = [s for e in episodes for s in e.sequences]
    batch = Batch.from_sequences([(s.tokens, {"weights": s.sampled}) for s in spoken])
    return batch.with_columns(weights=batch.weights / batch.weights.sum())


class _WithReference:
    """The session, whose start is another snapshot: a KL that is not 0."""

    def __init__(self, session: Session, reference: Any) -> None:
        self._session = session
        self._reference = reference

    def named_snapshot(self, name: str) -> Any:
        return self._reference


def _by_sequence(batch: Batch, values: Any) -> list[Any]:
    return [v.astype(np.float64) for v in np.split(values, batch.offsets[1:-1])]


def _said(snapshot: Any, batch: Batch) -> list[Any]:
    return _by_sequence(batch, snapshot.forward(batch).result())


def test_sampler_and_trainer_agree(engine: customize.Engine) -> None:
    method = GRPO(
        environment=two_turns, steps=3, batch_size=2, group_size=4, max_tokens=12, lr=1e-2, kl=0.01
    )
    session = engine.open(LoRA(rank=4), seed=1)
    steps = list(method.train(session, GivenRows(ROWS)))
    assert max(step.metrics["mismatch"] for step in steps) <= 1e-5
    assert steps[0].metrics["kl_to_start"] == 0.0
    assert steps[-1].metrics["kl_to_start"] > 0.0
    assert abs(steps[0].metrics["ratio"] - 1) <= 1e-5


def test_a_run_on_the_cpu_is_replayed_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from customize.runs.replaying import replay

    monkeypatch.setenv("CUSTOMIZE_CACHE", str(tmp_path / "cache"))
    write_tiny_model(tmp_path / "model")
    run = customize.train(
        model=tmp_path / "model", method="grpo", data=ROWS, reward=likeness, to=tmp_path / "run",
        backend="cpu", options={"steps": 3, "batch_size": 2, "group_size": 4, "max_tokens": 8},
    )  # fmt: skip
    assert replay(run, 3).is_equal
