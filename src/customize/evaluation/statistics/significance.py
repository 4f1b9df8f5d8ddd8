"""p-values of paired differences, and what many of them at once leave. Knows numbers alone.

Shape legend: N rows, C clusters, S sign patterns.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_EXACT = 12  # up to so many rows or clusters that differ, every pattern of signs is tried
_CLOSE = 1e-12  # sums of the same numbers in another order


def mcnemar(only_new: int, only_old: int) -> float:
    """Two-sided exact p-value that new and old are equally often the only right one."""
    n, few = only_new + only_old, min(only_new, only_old)
    if n == 0:
        return 1.0
    tail = sum(math.comb(n, k) for k in range(few + 1))
    return min(1.0, float(2 * tail / 2**n))


def sign_flip(
    differences_N: Floats,
    clusters_N: Ints | None = None,
    patterns: int = 10_000,
    seed: int = 0,
) -> float:
    """Two-sided p-value that differences are as likely up as down (Fisher 1935).

    Signs of a cluster flip together. Exact for up to 12 that differ, else by random patterns,
    the one that was seen among them, so it is never 0.
    """
    sums_C = differences_N
    if clusters_N is not None:
        sums_C = np.bincount(clusters_N, weights=differences_N).astype(np.float64)
    sums_C = sums_C[sums_C != 0]
    if not len(sums_C):
        return 1.0
    seen = abs(float(sums_C.sum())) - _CLOSE
    if len(sums_C) <= _EXACT:
        up_SC = (np.arange(2 ** len(sums_C))[:, None] >> np.arange(len(sums_C))) & 1
        return float((_flipped(up_SC, sums_C) >= seen).mean())
    drawn_SC = np.random.default_rng(seed).integers(0, 2, (patterns, len(sums_C)))
    return float((1 + (_flipped(drawn_SC, sums_C) >= seen).sum()) / (1 + patterns))


def _flipped(up_SC: Ints, sums_C: Floats) -> Floats:
    """The size of the sum for each pattern, in which 1 is as it is and 0 flipped; [S]."""
    total: Floats = np.abs(2.0 * (up_SC @ sums_C) - sums_C.sum())
    return total


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted so that any false alarm among all is at most as likely as each says.

    S. Holm, Scandinavian Journal of Statistics 6 (1979), 65-70.
    """
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, (len(p_values) - rank) * p_values[place])
        adjusted[place] = min(1.0, largest)
    return adjusted
