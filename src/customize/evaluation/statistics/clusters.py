"""Means of rows that may share a document or a conversation: such rows say less than others do.

Shape legend: N rows, C clusters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from customize.evaluation.statistics.intervals import Interval, Z, t_quantile
from customize.evaluation.statistics.rates import paired_difference, wilson

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def cluster_numbers(keys: Sequence[str]) -> Ints:
    """Each key's number, from 0; [N]."""
    return np.unique(np.asarray(keys, dtype=object), return_inverse=True)[1].astype(np.int64)


def standard_error(values_N: Floats, clusters_N: Ints | None = None) -> float:
    """Of the mean; robust to whatever rows of one cluster have in common (Liang and Zeger 1986).

    With the correction C / (C - 1) for few clusters. NaN for fewer than two.
    """
    away_N = values_N - values_N.mean()
    sums_C = away_N if clusters_N is None else np.bincount(clusters_N, weights=away_N)
    num = len(sums_C)
    if num < 2:
        return math.nan
    return math.sqrt(num / (num - 1) * float(sums_C @ sums_C)) / len(values_N)


def mean(values_N: Floats, clusters_N: Ints | None = None) -> Interval:
    """The mean by Student's t with C - 1 degrees of freedom; all of the line for one cluster."""
    estimate, error = float(values_N.mean()), standard_error(values_N, clusters_N)
    if math.isnan(error):
        return Interval(estimate, -math.inf, math.inf)
    half = t_quantile(_num_clusters(values_N, clusters_N) - 1) * error
    return Interval(estimate, estimate - half, estimate + half)


def rate(right_N: Floats, clusters_N: Ints | None = None) -> Interval:
    """Share of ones, by Wilson's interval on the effective number of rows; 0 to 1 for a cluster."""
    share, n = float(right_N.mean()), effective_rows(right_N, clusters_N)
    return wilson(share * n, n) if n else Interval(share, 0.0, 1.0)


def rate_difference(new_N: Floats, old_N: Floats, clusters_N: Ints | None = None) -> Interval:
    """new - old of paired ones and zeros, by Tango's interval on the effective number of rows.

    The scaling of counts by the design effect is that of Rao and Scott (Biometrics 48, 1992).
    One cluster says -1 to 1.
    """
    difference_N = new_N - old_N
    n = effective_rows(difference_N, clusters_N)
    if not n:
        return Interval(float(difference_N.mean()), -1.0, 1.0)
    scale = n / len(difference_N)
    only_new, only_old = float((difference_N > 0).sum()), float((difference_N < 0).sum())
    return paired_difference(only_new * scale, only_old * scale, n)


def effective_rows(values_N: Floats, clusters_N: Ints | None = None) -> float:
    """How many rows without clusters would say as much, the fewness of clusters allowed for.

    Where all rows are alike nothing shows what clusters share: each then counts as if its rows
    were copies. One cluster says nothing of others: 0.
    """
    if clusters_N is None:
        return float(len(values_N))
    sizes_C = np.unique(clusters_N, return_counts=True)[1]
    num, n = len(sizes_C), len(values_N)
    copies = float(sizes_C @ sizes_C) / n
    if num < 2:
        return 0.0
    alone = standard_error(values_N)
    shared = (standard_error(values_N, clusters_N) / alone) ** 2 if alone > 0 else copies
    return n / min(max(shared, 1.0), copies) * (Z / t_quantile(num - 1)) ** 2


def _num_clusters(values_N: Floats, clusters_N: Ints | None) -> int:
    return len(values_N) if clusters_N is None else len(np.unique(clusters_N))
