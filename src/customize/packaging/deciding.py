"""Which token is drawn, where only the likeliest are known and these decide it. Knows no runtime.

Some runtimes tell the probabilities of few tokens at little cost, and of all at a great one.

Shape legend: K tokens that are known, the likeliest first.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from customize.interfaces.backend import Sampling

Doubles = npt.NDArray[np.float64]


def decided(
    ids_K: npt.NDArray[np.int64],
    logprobs_K: Doubles,
    size: int,
    sampling: Sampling,
    uniform: float,
) -> int | None:
    """The token that would be drawn with all of ``size`` known, or None where others matter.

    Tokens lie side by side in the order of their ids; where the unknown lie between them is not
    known, only how much there can be of them.
    """
    if sampling.temperature == 0:
        return int(ids_K[logprobs_K == logprobs_K.max()].min())
    weights_K = np.exp(logprobs_K / sampling.temperature)
    least, most = _unknown(logprobs_K, size, sampling.temperature)
    kept = _kept(weights_K, (least, most), size, sampling)
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


def _unknown(logprobs_K: Doubles, size: int, temperature: float) -> tuple[float, float]:
    """The least and the most that the unknown tokens can weigh together.

    Their probabilities sum to what is left, and none exceeds the last known one: by Jensen's
    inequality the bounds are all of them alike, and as few as possible as large as possible.
    """
    others = size - len(logprobs_K)
    left = max(0.0, float(-np.expm1(np.logaddexp.reduce(logprobs_K))))
    if not others or not left:
        return 0.0, 0.0
    power = 1 / temperature
    largest = float(np.exp(logprobs_K[-1]))
    bounds = (left * largest ** (power - 1), others * (left / others) ** power)
    return min(bounds), max(bounds)


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
