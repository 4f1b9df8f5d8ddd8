"""Intervals for rates and for paired differences of rates. Knows numbers alone."""

from __future__ import annotations

import math
from typing import Literal

import attrs

_Z = 1.959963984540054  # the normal's 97.5 % point: intervals are 95 %


@attrs.frozen
class Interval:
    """An estimate with its 95 % interval."""

    estimate: float
    low: float
    high: float


def wilson(successes: int, n: int) -> Interval:
    """A rate by Wilson's score interval (JASA 22, 1927); ``n`` of at least 1."""
    rate, z2 = successes / n, _Z**2
    centre = (rate + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z / (1 + z2 / n) * math.sqrt(rate * (1 - rate) / n + z2 / (4 * n * n))
    return Interval(rate, max(0.0, centre - half), min(1.0, centre + half))


def paired_difference(only_new: int, only_old: int, n: int) -> Interval:
    """new - old for paired right/wrong answers, by Tango's score interval.

    T. Tango, Statistics in Medicine 17 (1998), 891-908: all differences that the score test does
    not reject, so it stays honest where all or no answers are right, where a bootstrap collapses.

    Args:
        only_new: items that only the new one has right. only_old: that only the old one has.
        n: all items.
    """
    estimate = (only_new - only_old) / n
    low = _limit(only_new, only_old, n, -1.0, estimate)
    high = _limit(only_new, only_old, n, 1.0, estimate)
    return Interval(estimate, low, high)


def mcnemar(only_new: int, only_old: int) -> float:
    """Two-sided exact p-value that new and old are equally often the only right one."""
    n, few = only_new + only_old, min(only_new, only_old)
    if n == 0:
        return 1.0
    tail = sum(math.comb(n, k) for k in range(few + 1))
    return min(1.0, float(2 * tail / 2**n))


def non_inferior(difference: Interval, margin: float) -> Literal["pass", "fail", "inconclusive"]:
    """Whether new is worse than old by less than ``margin`` (0.05 is five points)."""
    if difference.low > -margin:
        return "pass"
    return "fail" if difference.high < -margin else "inconclusive"


def score(only_new: int, only_old: int, n: int, delta: float) -> float:
    """Tango's statistic for the difference ``delta``, standard normal if that is true."""
    a = 2 * n
    b = -only_new - only_old + (2 * n - only_new + only_old) * delta
    c = -only_old * delta * (1 - delta)
    # The likeliest probability of "only old" among those with this difference.
    q = max(0.0, (math.sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (2 * a))
    variance = n * (2 * q + delta * (1 - delta))
    away = only_new - only_old - n * delta
    if variance <= 0:
        return 0.0 if away == 0 else math.copysign(math.inf, away)
    return away / math.sqrt(variance)


def _limit(only_new: int, only_old: int, n: int, end: float, estimate: float) -> float:
    """Where the score test begins to reject, between the estimate and ``end``, by bisection."""
    inside, outside = estimate, end
    if abs(score(only_new, only_old, n, end)) <= _Z:
        return end
    for _ in range(60):
        middle = (inside + outside) / 2
        if abs(score(only_new, only_old, n, middle)) <= _Z:
            inside = middle
        else:
            outside = middle
    return (inside + outside) / 2
