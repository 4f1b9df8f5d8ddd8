"""Agreement of two who say one of several things. Knows numbers alone.

Shape legend: N answers, R resamples.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def kappa(one_N: Floats, other_N: Floats, weights_RN: Floats) -> Floats:
    """Cohen's κ (1960): agreement beyond that of chance; [R], NaN where both always say one thing.

    An answer counts as often as its weight says.
    """
    total_R = weights_RN.sum(axis=1)
    agreed_R = weights_RN @ (one_N == other_N) / total_R
    by_chance_R = np.zeros(len(weights_RN))
    for value in np.union1d(one_N, other_N):
        by_chance_R += (weights_RN @ (one_N == value)) * (weights_RN @ (other_N == value))
    by_chance_R /= total_R**2
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Floats = (agreed_R - by_chance_R) / (1 - by_chance_R)
    return found
