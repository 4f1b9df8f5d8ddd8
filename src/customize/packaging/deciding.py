"""Which token is drawn, where only the likeliest are known and these decide it. Knows no runtime.

Some runtimes tell the probabilities of few tokens at little cost, and of all at a great one.

Shape legend: K tokens that are known, the likeliest first.
"""

from __future__ import annotations

import math

import attrs
import numpy as np
import numpy.typing as npt

from customize.interfaces.sampling import Sampling

Doubles = npt.NDArray[np.float64]


@attrs.frozen
class Others:
    """Tokens that are not known: their number, and log-probabilities of all together and, at most,
    of one.

    are_all: all of that probability is theirs; else at most all of it.
    """

    count: int
    together: float
    largest: float
    are_all: bool = True

    @classmethod
    def than(cls, logprobs_K: Doubles, size: int) -> Others:
        """Than these likeliest of ``size``."""
        left = float(-np.expm1(np.logaddexp.reduce(logprobs_K)))
        together = math.log(left) if left > 0 else -math.inf
        return cls(size - len(logprobs_K), together, float(logprobs_K[-1]))

    def among(self, count: int) -> Others:
        """So many of them, where the rest cannot be drawn."""
        return attrs.evolve(self, count=count, are_all=False)

    def weight(self, temperature: float, unit: float) -> tuple[float, float]:
        """The least and the most that they can weigh together at a temperature, where a token of
        the log-probability ``unit``, which is not below ``largest``, weighs 1.

        By Jensen's inequality the bounds are all of them alike, and as few as possible as large as
        possible.
        """
        if not self.count:
            return 0.0, 0.0
        each = math.log(self.count)
        together = min(self.together, each + self.largest)
        if together == -math.inf:
            return 0.0, 0.0
        few = math.exp(together - self.largest + (self.largest - unit) / temperature)
        alike = math.exp(each + (together - each - unit) / temperature)
        return (min(few, alike) if self.are_all else 0.0), max(few, alike)


def decided(
    ids_K: npt.NDArray[np.int64],
    logprobs_K: Doubles,
    others: Others,
    sampling: Sampling,
    uniform: float,
) -> int | None:
    """The token that would be drawn with all known, or None where the others matter.

    Tokens lie side by side in the order of their ids; where the unknown lie between them is not
    known, only how much there can be of them.
    """
    if not len(ids_K):
        return None
    if sampling.temperature == 0:
        return int(ids_K[logprobs_K == logprobs_K.max()].min())
    # Of the likeliest, which thereby weighs 1: by themselves all may be too small for a float64.
    top = float(logprobs_K.max())
    weights_K = np.exp((logprobs_K - top) / sampling.temperature)
    least, most = others.weight(sampling.temperature, top)
    kept = _kept(weights_K, (least, most), len(ids_K) + others.count, sampling)
    if kept is not None:
        ids_K, weights_K, most = ids_K[:kept], weights_K[:kept], 0.0
    elif sampling.top_k or sampling.top_p < 1:
        return None
    order_K = np.argsort(ids_K)
    mass_K = np.cumsum(weights_K[order_K])
    low = uniform * mass_K[-1] - (1 - uniform) * most
    high = uniform * (mass_K[-1] + most)
    first, last = np.searchsorted(mass_K, [low, high], side="right")
    if most and (low < 0 or first != last or last == len(order_K)):
        return None
    return int(ids_K[order_K[min(first, len(order_K) - 1)]])


def _kept(
    weights_K: Doubles, unknown: tuple[float, float], size: int, sampling: Sampling
) -> int | None:
    """How many of the likeliest top-k and top-p keep; None where the known do not tell."""
    few = many = size
    if sampling.top_p < 1:
        before_K = np.cumsum(weights_K) - weights_K
        few, many = (
            int((before_K < sampling.top_p * (weights_K.sum() + rest)).sum()) for rest in unknown
        )
        if many == len(weights_K):
            many = size  # and perhaps some of those that are not known
    few, many = (min(count, sampling.top_k or size) for count in (few, many))
    return few if few == many <= len(weights_K) else None
