"""How many rows a difference needs, and how small a one the rows can show. Knows numbers alone.

E. Miller, arXiv 2411.00640, section 5: two-sided at 5 %, seen in 80 % of studies.
"""

from __future__ import annotations

import math

from customize.evaluation.statistics.intervals import Interval, Z

_POWER = 0.8416212335729143  # the normal's 80 % point


def detectable(deviation: float, n: float) -> float:
    """The least true difference that ``n`` rows show; ``deviation`` is of paired differences."""
    return (Z + _POWER) * deviation / math.sqrt(n)


def rows_needed(deviation: float, distance: float) -> int:
    """Rows to show that a difference is ``distance`` (above 0) away from what it is tested for."""
    return max(2, math.ceil(((Z + _POWER) * deviation / distance) ** 2))


def deviation(difference: Interval, n: float) -> float:
    """Of paired differences, by the interval they were given: never 0 where that has a width."""
    return (difference.high - difference.low) / 2 * math.sqrt(n) / Z
