"""Several answers an item: how much scores differ by item, and how much by chance of sampling.

Shape legend: N items, K samples an item.
"""

from __future__ import annotations

import attrs
import numpy as np
import numpy.typing as npt


@attrs.frozen
class VarianceSplit:
    """between: variance of items' true means. within: of one item's answers, on average."""

    between: float
    within: float

    def standard_error(self, num_items: int, num_samples: int) -> float:
        """Of the mean score, with that many items and samples each (arXiv 2411.00640, 3.2)."""
        return float(np.sqrt((self.between + self.within / num_samples) / num_items))


def variance_split(scores_NK: npt.NDArray[np.float64]) -> VarianceSplit:
    """By one-way analysis of variance; at least two items and two samples."""
    within = float(scores_NK.var(axis=1, ddof=1).mean())
    of_means = float(scores_NK.mean(axis=1).var(ddof=1))
    return VarianceSplit(max(0.0, of_means - within / scores_NK.shape[1]), within)
