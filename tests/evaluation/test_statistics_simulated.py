"""Clusters, gates and corrected rates by simulated studies, and by implementations of their own."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from customize.evaluation import statistics as ours
from customize.evaluation.scorers.calibration import ece
from customize.evaluation.scorers.refusals import abstention_rates
from customize.evaluation.statistics import Interval

stats = pytest.importorskip("scipy.stats")
optimize = pytest.importorskip("scipy.optimize")

NUM_STUDIES, RESAMPLES = 2000, 300
Draw = Callable[[np.random.Generator, int], Interval]


@pytest.mark.parametrize(("num", "size"), [(50, 2), (20, 5)])
def test_the_bootstrap_of_clusters_covers_95_percent(num: int, size: int) -> None:
    """Paired differences, half of whose variance is shared within a cluster."""
    rng, clusters = np.random.default_rng(0), np.repeat(np.arange(num), size)
    shared = rng.normal(0.1, 0.5, (NUM_STUDIES, num)).repeat(size, axis=1)
    drawn = list(enumerate(shared + rng.normal(0, 0.5, shared.shape)))
    assert 0.93 <= np.mean([_covers(study, clusters, n) for n, study in drawn]) <= 0.97
    assert np.mean([_covers(study, None, n) for n, study in drawn[:200]]) < 0.93


def _covers(study: Any, clusters: Any, number: int) -> bool:
    got = ours.bootstrap(ours.weighted_mean(study), len(study), clusters, RESAMPLES, seed=number)
    return got.low <= 0.1 <= got.high


def _clustered_rates(num: int, size: int) -> Draw:
    clusters = np.repeat(np.arange(num), size)

    def draw(rng: np.random.Generator, number: int) -> Interval:
        own = rng.beta(2, 2, (2, num, 1))
        new, old = (rng.random((2, num, size)) < own).astype(float).reshape(2, -1)
        return ours.rate_difference(new, old, clusters)

    return draw


def _means(num: int, size: int = 1) -> Draw:
    """Skewed scores; of clusters whose rows share half of their variance."""
    clusters = np.repeat(np.arange(num), size) if size > 1 else None

    def draw(rng: np.random.Generator, number: int) -> Interval:
        new, old = rng.exponential(1, (2, num, size)) + rng.exponential(1, (2, num, 1))
        return ours.mean((new - old).ravel(), clusters)

    return draw


def _calibration_errors(rng: np.random.Generator, number: int) -> Interval:
    """Of two that are calibrated alike; less is better."""
    sure = rng.random((2, 100))
    right = (rng.random((2, 100)) < sure).astype(float)

    def gain(weights_RN: Any) -> Any:
        return ece(sure[1], right[1], weights_RN, 10) - ece(sure[0], right[0], weights_RN, 10)

    return ours.bootstrap(gain, 100, resamples=200, seed=number)


def _f1(rng: np.random.Generator, number: int) -> Interval:
    """Of abstaining, on rows of which both see the same ones as unanswerable."""
    should = (rng.random(100) < 0.4).astype(float)
    says = (rng.random((2, 100)) < 0.2 + 0.5 * should).astype(float)

    def gain(weights_RN: Any) -> Any:
        new, old = (abstention_rates(one, should, weights_RN)["f1"] for one in says)
        return new - old

    return ours.bootstrap(gain, 100, resamples=200, seed=number)


@pytest.mark.parametrize(
    ("draw", "studies"),
    [
        (_clustered_rates(10, 10), 1000),
        (_clustered_rates(20, 5), 1000),
        (_clustered_rates(50, 3), 1000),
        (_means(10), 2000),
        (_means(100), 2000),
        (_means(15, size=4), 2000),
        (_calibration_errors, 400),
        (_f1, 600),
    ],
    ids=["rates-10x10", "rates-20x5", "rates-50x3", "t-10", "t-100", "t-15x4", "ece", "f1"],
)
def test_gates_raise_false_alarms_in_at_most_5_percent_of_studies(draw: Draw, studies: int) -> None:
    """Of two that are alike, and at the margin; the simulation's own error is within the 5 %."""
    rng = np.random.default_rng(0)
    found = [draw(rng, number) for number in range(studies)]
    margin = 0.1
    at_margin = [Interval(*(x - margin for x in (i.estimate, i.low, i.high))) for i in found]
    for alarms in (
        sum(ours.superior(interval) == "pass" for interval in found),
        sum(ours.superior(interval) == "fail" for interval in found),
        sum(ours.non_inferior(interval, margin) == "pass" for interval in at_margin),
    ):
        assert stats.binomtest(alarms, studies).proportion_ci(0.95).high <= 0.05


@pytest.mark.parametrize("seed", range(5))
def test_the_split_of_variances_is_that_of_anovas_mean_squares(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.normal(0, 1 + seed, (12, 1)) + rng.normal(0, 2, (12, 4))
    grand = scores.sum() / 48
    means = [sum(row) / 4 for row in scores]
    between = sum(4 * (mean - grand) ** 2 for mean in means) / 11
    within = sum((x - mean) ** 2 for row, mean in zip(scores, means, strict=True) for x in row) / 36
    assert stats.f_oneway(*scores).statistic == pytest.approx(between / within)
    got = ours.variance_split(scores)
    assert got.within == pytest.approx(within)
    assert got.between == pytest.approx(max(0.0, (between - within) / 4))


def test_rows_that_are_all_alike_have_no_variance_between_them() -> None:
    scores = np.tile([0.0, 1.0, 1.0], (6, 1))
    got = ours.variance_split(scores)
    assert got.between == 0.0
    assert got.within == pytest.approx(1 / 3)


def _powered(
    predicted: list[float], labels: list[float | None], keys: list[int]
) -> tuple[float, float]:
    """Estimate and standard error as arXiv 2311.01453 has them, by loops and a search for λ."""
    known = [i for i, label in enumerate(labels) if label is not None]
    rest = [i for i, label in enumerate(labels) if label is None]
    truth = {i: float(labels[i] or 0.0) for i in known}
    n, m = len(known), len(rest)
    centre = sum(predicted) / len(predicted)
    spread = sum((p - centre) ** 2 for p in predicted) / len(predicted)
    told, said = sum(truth.values()) / n, sum(predicted[i] for i in known) / n
    shared = sum((truth[i] - told) * (predicted[i] - said) for i in known) / (n - 1)

    def variance(weight: float) -> float:
        return weight**2 * spread * (1 / n + 1 / m) - 2 * weight * shared / n

    weight = optimize.minimize_scalar(variance, bounds=(0, 1), method="bounded").x
    imputed = sum(weight * predicted[i] for i in rest) / m
    errors = {i: truth[i] - weight * predicted[i] for i in known}
    rectifier = sum(errors.values()) / n
    sums: dict[int, float] = {}
    for i in rest:
        sums[keys[i]] = sums.get(keys[i], 0.0) + (weight * predicted[i] - imputed) / m
    for i in known:
        sums[keys[i]] = sums.get(keys[i], 0.0) + (errors[i] - rectifier) / n
    pretended = 2 / len({keys[i] for i in known}) ** 2  # two errors, one up and one down
    return imputed + rectifier, math.sqrt(sum(s * s for s in sums.values()) + pretended)


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("accuracy", [0.65, 0.9])
def test_prediction_powered_means_are_those_of_an_implementation_by_loops(
    size: int, accuracy: float
) -> None:
    rng = np.random.default_rng(0)
    truth = (rng.random(150) < 0.4).astype(float)
    predicted = np.where(rng.random(150) < accuracy, truth, 1 - truth)
    keys = rng.permutation(np.repeat(np.arange(150 // size), size))
    labels = np.where(np.arange(150) < 60, truth, np.nan)
    estimate, error = _powered(
        predicted.tolist(),
        [None if math.isnan(label) else label for label in labels],
        keys.tolist(),
    )
    got = ours.prediction_powered(predicted, labels, keys)
    assert got.estimate == pytest.approx(estimate, abs=1e-5)
    half = stats.t.ppf(0.975, len(set(keys[:60])) - 1) * error
    assert (got.low, got.high) == pytest.approx((estimate - half, estimate + half), abs=1e-4)


def test_the_error_of_prediction_powered_means_is_that_of_many_studies() -> None:
    rng = np.random.default_rng(0)
    estimates, errors = [], []
    for _ in range(1500):
        truth = (rng.random(500) < 0.4).astype(float)
        predicted = np.where(rng.random(500) < 0.85, truth, 1 - truth)
        labels = np.where(np.arange(500) < 150, truth, np.nan)
        got = ours.prediction_powered(predicted, labels)
        estimates.append(got.estimate)
        errors.append((got.high - got.estimate) / stats.t.ppf(0.975, 149))
    assert np.mean(estimates) == pytest.approx(0.4, abs=0.003)
    assert np.mean(errors) == pytest.approx(np.std(estimates), rel=0.08)
