"""Intervals of what is no mean: rows drawn anew, whole clusters at a time. Knows numbers alone.

Shape legend: N rows, C clusters, R resamples.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from customize.evaluation.statistics.intervals import Interval, t_quantile

_ENTRIES = 2**21  # weights made at once: bounds the memory

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# From how often each row counts, [R, N], to one value a resample, [R].
Statistic = Callable[[Floats], Floats]


def bootstrap(
    statistic: Statistic,
    num_rows: int,
    clusters_N: Ints | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """The percentile interval (Efron 1979) of ``statistic``; its estimate counts each row once.

    It is expanded for few rows or clusters, as Student's is (Hesterberg, American Statistician 69,
    2015): of 20 clusters the plain one covers 92 %.
    A paired difference is one statistic: both sides see the same rows. Resamples on which it is
    not defined are left out. It collapses where all rows are alike: rates have better intervals.
    One row, or one cluster, has none: its ends are infinite.
    """
    estimate = float(statistic(np.ones((1, num_rows)))[0])
    rng, at_once = np.random.default_rng(seed), max(1, _ENTRIES // num_rows)
    counts = [min(at_once, resamples - done) for done in range(0, resamples, at_once)]
    drawn = [statistic(_weights(num_rows, clusters_N, count, rng)) for count in counts]
    drawn_R = np.concatenate(drawn)
    drawn_R = drawn_R[np.isfinite(drawn_R)]
    num = num_rows if clusters_N is None else len(np.unique(clusters_N))
    if num < 2 or not math.isfinite(estimate) or not len(drawn_R):
        return Interval(estimate, -math.inf, math.inf)
    low, high = np.percentile(drawn_R, [tail := _tail(num), 100 - tail])
    return Interval(estimate, float(low), float(high))


def _tail(num: int) -> float:
    """The per cent of resamples beyond each end: 2.5 for many rows or clusters, less for few."""
    wide = math.sqrt(num / (num - 1)) * t_quantile(num - 1)
    return 100 * math.erfc(wide / math.sqrt(2)) / 2


def weighted_mean(values_N: Floats) -> Statistic:
    """The mean as a statistic to resample."""
    return lambda weights_RN: (weights_RN @ values_N) / weights_RN.sum(axis=1)


def _weights(
    num_rows: int, clusters_N: Ints | None, resamples: int, rng: np.random.Generator
) -> Floats:
    """How often each row was drawn, [R, N]."""
    numbers_N = np.arange(num_rows) if clusters_N is None else clusters_N
    num = int(numbers_N.max()) + 1
    counts_RC = rng.multinomial(num, np.full(num, 1 / num), size=resamples)
    return counts_RC[:, numbers_N].astype(np.float64)
