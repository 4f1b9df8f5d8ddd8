"""Rates, and paired differences of rates: intervals that hold at 0 and 100 %.

Counts may be fractions: rows that share a document count for less than one each.
"""

from __future__ import annotations

import math

from customize.evaluation.statistics.intervals import Interval, Z


def wilson(successes: float, n: float) -> Interval:
    """A rate by Wilson's score interval (JASA 22, 1927); ``n`` above 0."""
    rate, z2 = successes / n, Z**2
    centre = (rate + z2 / (2 * n)) / (1 + z2 / n)
    half = Z / (1 + z2 / n) * math.sqrt(rate * (1 - rate) / n + z2 / (4 * n * n))
    low, high = max(0.0, centre - half), min(1.0, centre + half)
    return Interval(rate, min(low, rate), max(high, rate))  # rounding may pass the estimate


def rule_of_three(n: int) -> float:
    """The rate that no failure in ``n`` rows rules out at 95 %: about 3 / n, here exact."""
    return float(1 - 0.05 ** (1 / n))


def paired_difference(only_new: float, only_old: float, n: float) -> Interval:
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


def score(only_new: float, only_old: float, n: float, delta: float) -> float:
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


def _limit(only_new: float, only_old: float, n: float, end: float, estimate: float) -> float:
    """Where the score test begins to reject, between the estimate and ``end``, by bisection."""
    inside, outside = estimate, end
    if abs(score(only_new, only_old, n, end)) <= Z:
        return end
    for _ in range(50):
        middle = (inside + outside) / 2
        if abs(score(only_new, only_old, n, middle)) <= Z:
            inside = middle
        else:
            outside = middle
    return (inside + outside) / 2
