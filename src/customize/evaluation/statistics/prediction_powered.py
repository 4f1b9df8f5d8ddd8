"""Many cheap scores put right by a few dear ones. Knows numbers alone.

Prediction-powered inference (arXiv 2301.09633), with the weight of the cheap scores chosen for the
least variance (arXiv 2311.01453). Shape legend: N rows, n of them labelled, C clusters.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from customize.evaluation.statistics.intervals import Interval, t_quantile

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def prediction_powered(
    predicted_N: Floats, labels_N: Floats, clusters_N: Ints | None = None
) -> Interval:
    """The mean label; ``labels_N`` has NaN where there is none, and at least one.

    The labelled rows must have been drawn by chance. Two pretended errors, one up and one down,
    keep the interval from collapsing where the labels all agree with the predictions.
    """
    known_N = np.isfinite(labels_N)
    keys_N = np.arange(len(labels_N)) if clusters_N is None else clusters_N
    weight = _weight(predicted_N, labels_N)
    rest_N = weight * predicted_N[~known_N]
    error_n = labels_N[known_N] - weight * predicted_N[known_N]
    estimate = float(error_n.mean() + (rest_N.mean() if len(rest_N) else 0.0))
    num = len(np.unique(keys_N[known_N]))
    if num < 2:
        return Interval(estimate, -math.inf, math.inf)
    away_N = np.zeros(len(predicted_N))
    away_N[known_N] = (error_n - error_n.mean()) / len(error_n)
    if len(rest_N):
        away_N[~known_N] = (rest_N - rest_N.mean()) / len(rest_N)
    sums_C = np.bincount(keys_N, weights=away_N)
    half = t_quantile(num - 1) * math.sqrt(float(sums_C @ sums_C) + 2 / num**2)
    return Interval(estimate, estimate - half, estimate + half)


def _weight(predicted_N: Floats, labels_N: Floats) -> float:
    """How much predictions count: 0 where they say nothing of labels, or all rows have one."""
    known_N = np.isfinite(labels_N)
    num, rest = int(known_N.sum()), int((~known_N).sum())
    if num < 2 or not rest:
        return 0.0
    variance = float(predicted_N.var())
    if variance == 0:
        return 0.0
    shared = float(np.cov(labels_N[known_N], predicted_N[known_N])[0, 1])
    return min(1.0, max(0.0, shared / variance / (1 + num / rest)))
