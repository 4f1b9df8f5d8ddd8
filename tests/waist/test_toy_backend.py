"""The toy backend keeps the promises of the waist, exactly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from customize import (
    AdamW,
    Batch,
    CheckpointError,
    CrossEntropy,
    LoRA,
    NonFiniteError,
    Prompt,
    Sampling,
    Session,
    Unsupported,
)
from customize.testing import ToyBackend


def open_session(seed: int = 0) -> Session:
    return ToyBackend().load(None).open(LoRA(), seed)


@pytest.fixture
def batch() -> Batch:
    rng = np.random.default_rng(3)
    rows = [(rng.integers(5, 40, n), {"weights": rng.random(n)}) for n in (6, 3, 9)]
    return Batch.from_sequences(rows)


def test_the_gradient_matches_finite_differences(batch: Batch) -> None:
    session = open_session()
    session.forward_backward(batch, CrossEntropy())
    gradient = session._pending  # type: ignore[attr-defined]
    before, after = int(batch.tokens[0]), int(batch.tokens[1])

    def loss(change: float) -> float:
        other = open_session()
        other._delta[before, after] = change  # type: ignore[attr-defined]
        return other.forward_backward(batch, CrossEntropy()).result().loss

    assert gradient[before, after] == pytest.approx((loss(1e-3) - loss(-1e-3)) / 2e-3, rel=1e-3)


def test_training_makes_what_was_trained_on_likelier(batch: Batch) -> None:
    session = open_session()
    losses = []
    for _ in range(5):
        losses.append(session.forward_backward(batch, CrossEntropy()).result().loss)
        session.optim_step(AdamW(lr=0.1)).result()
    assert losses == sorted(losses, reverse=True)


def test_what_it_was_made_without_is_refused_by_name(batch: Batch) -> None:
    session = ToyBackend(without={"sample"}).load(None).open(LoRA())
    with pytest.raises(Unsupported, match="'sample'"):
        session.sample([Prompt([3])], Sampling())


def test_save_and_load_is_identity_and_the_next_step_is_bit_equal(
    batch: Batch, tmp_path: Path
) -> None:
    first = open_session()
    for _ in range(3):
        first.forward_backward(batch, CrossEntropy())
        first.optim_step(AdamW(lr=0.1))
    first.snapshot("start")
    first.save(tmp_path)
    second = open_session(seed=7)
    second.load(tmp_path)
    for session in (first, second):
        session.forward_backward(batch, CrossEntropy())
        session.optim_step(AdamW(lr=0.1))
    np.testing.assert_array_equal(first.forward(batch).result(), second.forward(batch).result())
    kept = [s.named_snapshot("start").forward(batch).result() for s in (first, second)]
    np.testing.assert_array_equal(kept[0], kept[1])


def test_a_missing_part_of_a_save_is_named(tmp_path: Path) -> None:
    open_session().save(tmp_path)
    (tmp_path / "state.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"state\.safetensors"):
        open_session().load(tmp_path)


def test_a_snapshot_does_not_move_when_training_goes_on(batch: Batch) -> None:
    session = open_session()
    snapshot = session.snapshot()
    before = snapshot.forward(batch).result()
    session.forward_backward(batch, CrossEntropy())
    session.optim_step(AdamW(lr=0.5))
    np.testing.assert_array_equal(snapshot.forward(batch).result(), before)
    assert (session.forward(batch).result() != before).any()


def test_a_gradient_that_is_not_finite_changes_nothing(batch: Batch) -> None:
    session = open_session()
    before = session.forward(batch).result()
    session.forward_backward(batch.with_columns(weights=batch.weights * np.inf), CrossEntropy())
    with pytest.raises(NonFiniteError, match="nothing was changed"):
        session.optim_step(AdamW()).result()
    np.testing.assert_array_equal(session.forward(batch).result(), before)
    assert session.optim_step(AdamW()).result() == 0


def test_samples_agree_with_forward_and_do_not_depend_on_the_batch() -> None:
    session = open_session()
    prompts = [Prompt([3, 9], n=2, seed=1), Prompt([4], n=1, seed=2)]
    together = session.sample(prompts, Sampling(max_tokens=6)).result()
    alone = session.sample(prompts[1:], Sampling(max_tokens=6)).result()
    np.testing.assert_array_equal(together[1][0].tokens, alone[0][0].tokens)
    completion = together[0][0]
    tokens = np.concatenate([[3, 9], completion.tokens])
    batch = Batch.from_sequences([(tokens, {"weights": np.ones(len(tokens))})])
    np.testing.assert_array_equal(session.forward(batch).result()[2:], completion.logprobs)


def test_truncated_sampling_reports_both_probabilities() -> None:
    sampling = Sampling(max_tokens=5, temperature=0.7, top_k=3, top_p=0.9)
    [[completion]] = open_session().sample([Prompt([3], seed=5)], sampling).result()
    assert (completion.sampling_logprobs > completion.logprobs).all()


def test_draws_follow_the_probabilities() -> None:
    session = open_session()
    [drawn] = session.sample([Prompt([3], n=4000, seed=0)], Sampling(max_tokens=1)).result()
    counts = np.bincount([int(c.tokens[0]) for c in drawn], minlength=256)
    logits = session._engine.table_VV[3]  # type: ignore[attr-defined]
    expected = np.exp(logits) / np.exp(logits).sum() * 4000
    chi_square = ((counts - expected) ** 2 / expected).sum()
    assert chi_square < 255 + 4 * np.sqrt(2 * 255)
