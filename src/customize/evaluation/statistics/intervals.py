"""What every estimate is given as, and the quantiles its 95 % come from. Knows numbers alone."""

from __future__ import annotations

import math
from functools import lru_cache

import attrs

Z = 1.959963984540054  # the normal's 97.5 % point: intervals are 95 %
_NORMAL = 1000  # degrees of freedom from which t and normal differ by less than 0.003


@attrs.frozen
class Interval:
    """An estimate with its 95 % interval; an end that is not known is infinite."""

    estimate: float
    low: float
    high: float

    @property
    def is_defined(self) -> bool:
        """Whether there is an estimate: a share of nothing is none."""
        return math.isfinite(self.estimate)

    @property
    def is_bounded(self) -> bool:
        """Whether both ends are known: one row or cluster does not show how much rows vary."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    def within(self, least: float, most: float) -> Interval:
        """The same of what cannot lie elsewhere."""
        return Interval(*(min(most, max(least, x)) for x in attrs.astuple(self)))


@lru_cache(maxsize=1024)
def t_quantile(degrees: int) -> float:
    """Student's 97.5 % point, by bisection of the exact distribution."""
    if degrees >= _NORMAL:
        return Z
    low, high = 0.0, 13.0  # 12.7 at one degree of freedom
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _within(middle, degrees) < 0.95 else (low, middle)
    return (low + high) / 2


def _within(t: float, degrees: int) -> float:
    """P(-t < T < t): Abramowitz and Stegun (1964), 26.7.3 and 26.7.4."""
    angle = math.atan(t / math.sqrt(degrees))
    odd = degrees % 2
    term = math.cos(angle) if odd else 1.0
    total = term if degrees > 1 else 0.0
    for k in range(2 + odd, degrees - 1, 2):
        term *= (k - 1) / k * math.cos(angle) ** 2
        total += term
    return 2 / math.pi * (angle + math.sin(angle) * total) if odd else math.sin(angle) * total
