"""Intervals against independent computation and against simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from customize.evaluation.statistics import (
    Interval,
    mcnemar,
    non_inferior,
    paired_difference,
    score,
    wilson,
)

stats = pytest.importorskip("scipy.stats")


@pytest.mark.parametrize(("k", "n"), [(0, 10), (3, 10), (10, 10), (57, 120)])
def test_wilson_is_scipys(k: int, n: int) -> None:
    expected = stats.binomtest(k, n).proportion_ci(method="wilson")
    got = wilson(k, n)
    assert (got.low, got.high) == pytest.approx((expected.low, expected.high), abs=1e-9)


@pytest.mark.parametrize(("b", "c"), [(0, 0), (1, 0), (12, 3), (5, 5)])
def test_mcnemar_is_the_exact_binomial(b: int, c: int) -> None:
    expected = stats.binomtest(min(b, c), b + c).pvalue if b + c else 1.0
    assert mcnemar(b, c) == pytest.approx(expected)


def _score_by_search(b: int, c: int, n: int, delta: float) -> float:
    """The score with the constrained likelihood maximised by a fine search instead of algebra."""
    low, high = max(0.0, -delta), (1 - delta) / 2
    q = np.linspace(low + 1e-12, high - 1e-12, 400_001)
    rest = np.clip(1 - 2 * q - delta, 1e-300, None)
    likelihood = b * np.log(q + delta) + c * np.log(q) + (n - b - c) * np.log(rest)
    best = q[likelihood.argmax()]
    return float((b - c - n * delta) / math.sqrt(n * (2 * best + delta * (1 - delta))))


@pytest.mark.parametrize(("b", "c", "n"), [(12, 3, 50), (7, 7, 30), (20, 1, 40)])
@pytest.mark.parametrize("delta", [-0.3, -0.05, 0.1, 0.4])
def test_tangos_score_is_that_of_the_constrained_likelihood(
    b: int, c: int, n: int, delta: float
) -> None:
    assert score(b, c, n, delta) == pytest.approx(_score_by_search(b, c, n, delta), abs=1e-3)


def test_tangos_score_at_no_difference_is_mcnemars() -> None:
    assert score(12, 3, 50, 0.0) == pytest.approx((12 - 3) / math.sqrt(12 + 3))


@pytest.mark.parametrize(("b", "c", "n"), [(0, 0, 20), (20, 0, 20), (0, 20, 20)])
def test_the_interval_does_not_collapse_at_the_ends(b: int, c: int, n: int) -> None:
    got = paired_difference(b, c, n)
    assert got.high - got.low > 0.1
    assert got.low <= got.estimate <= got.high


def test_with_no_differing_item_the_limit_is_z2_over_n_plus_z2() -> None:
    z2 = 1.959963984540054**2
    got = paired_difference(0, 0, 30)
    assert got.high == pytest.approx(z2 / (30 + z2), abs=1e-9)
    assert got.low == pytest.approx(-got.high)


@pytest.mark.parametrize("cells", [(0.3, 0.1), (0.15, 0.15), (0.5, 0.02)])
def test_95_percent_intervals_cover_the_truth_95_percent_of_the_time(
    cells: tuple[float, float],
) -> None:
    rng = np.random.default_rng(0)
    b, c = cells
    draws = rng.multinomial(100, [b, c, 1 - b - c], size=2000)
    covered = 0
    for only_new, only_old, _ in draws:
        got = paired_difference(int(only_new), int(only_old), 100)
        covered += got.low <= b - c <= got.high
    assert 0.93 <= covered / 2000 <= 0.97


@pytest.mark.parametrize(
    ("interval", "verdict"),
    [
        (Interval(0.0, -0.04, 0.04), "pass"),
        (Interval(-0.2, -0.3, -0.1), "fail"),
        (Interval(0.0, -0.1, 0.1), "inconclusive"),
    ],
)
def test_non_inferiority_has_three_answers(interval: Interval, verdict: str) -> None:
    assert non_inferior(interval, 0.05) == verdict
