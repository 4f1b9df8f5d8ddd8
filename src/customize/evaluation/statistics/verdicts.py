"""Three answers to a claim: it is shown, its opposite is, or the rows are too few. Numbers alone.

Each claim is tested one-sided at 2.5 %, by the 95 % interval.
"""

from __future__ import annotations

from typing import Literal

from customize.evaluation.statistics.intervals import Interval

Verdict = Literal["pass", "fail", "inconclusive"]


def superior(difference: Interval) -> Verdict:
    """Whether new is better than old."""
    if difference.low > 0:
        return "pass"
    return "fail" if difference.high < 0 else "inconclusive"


def non_inferior(difference: Interval, margin: float) -> Verdict:
    """Whether new is worse than old by less than ``margin`` (0.05 is five points)."""
    if difference.low > -margin:
        return "pass"
    return "fail" if difference.high < -margin else "inconclusive"
