"""The toy backend beside numbers of its own table; tests/conformance holds it to every rule."""

from __future__ import annotations

import numpy as np
import pytest

from customize import (
    Batch,
    CrossEntropy,
    LoRA,
    Prompt,
    Sampling,
    Session,
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


def test_draws_follow_the_probabilities() -> None:
    session = open_session()
    [drawn] = session.sample([Prompt([3], n=4000, seed=0)], Sampling(max_tokens=1)).result()
    counts = np.bincount([int(c.tokens[0]) for c in drawn], minlength=256)
    logits = session._engine.table_VV[3]  # type: ignore[attr-defined]
    expected = np.exp(logits) / np.exp(logits).sum() * 4000
    chi_square = ((counts - expected) ** 2 / expected).sum()
    assert chi_square < 255 + 4 * np.sqrt(2 * 255)
