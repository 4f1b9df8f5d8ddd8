"""Advantages, weights and the objective, as numbers. Knows neither episodes nor sessions.

Shape legend: E episodes, N tokens of a batch, K tokens that were sampled.
"""

from __future__ import annotations

import math
from typing import Literal

import attrs
import numpy as np
import numpy.typing as npt

from customize import Batch, Loss

Numbers = npt.NDArray[np.float64]
Groups = npt.NDArray[np.int64]
_EPS, _WHITE_EPS = 1e-6, 1e-8


@attrs.frozen
class Algebra:
    """Four choices that spell the published family; see ``choices`` for what each may be."""

    baseline: str
    scale: str
    per: str
    horizon: int

    @property
    def is_relative(self) -> bool:
        """Whether an episode is compared with its siblings: then one alone says nothing."""
        return self.baseline != "none"

    def centred(self, reward_E: Numbers, length_E: Numbers, group_E: Groups) -> Numbers:
        """Rewards less the baseline of each one's group."""
        out_E = np.array(reward_E, np.float64)
        for group in np.unique(group_E) if self.is_relative else ():
            own = group_E == group
            out_E[own] -= self._baseline(reward_E[own], length_E[own])
        return out_E

    def scaled(self, advantage_E: Numbers, reward_E: Numbers, group_E: Groups) -> Numbers:
        """Advantages by the spread of the group's rewards, or of the batch's advantages."""
        out_E = np.array(advantage_E, np.float64)
        if self.scale == "batch":
            out_E /= _spread(advantage_E) + _EPS
        for group in np.unique(group_E) if self.scale == "group" else ():
            out_E[group_E == group] /= _spread(reward_E[group_E == group]) + _EPS
        return out_E

    def whitened(self, advantage_K: Numbers) -> Numbers:
        """With mean 0 and spread 1 over all tokens, where the scale is ``tokens``
        (arXiv 2501.03262; the constant under the root is verl's, so that both agree)."""
        if self.scale != "tokens" or len(advantage_K) < 2:
            return advantage_K
        centred_K: Numbers = advantage_K - advantage_K.mean()
        return centred_K / math.sqrt(_spread(advantage_K) ** 2 + _WHITE_EPS)

    def weight_of_a_token(self, length_E: Numbers, group_E: Groups) -> Numbers:
        """What each token of an episode counts; the loss is a sum."""
        num_episodes = len(length_E)
        if self.per == "token":
            return np.full(num_episodes, 1 / length_E.sum())
        if self.per == "sequence":
            return 1 / (num_episodes * length_E)
        if self.per == "constant":
            return np.full(num_episodes, 1 / (num_episodes * self.horizon))
        if self.per == "sum":
            return np.ones(num_episodes)
        groups, of_E = np.unique(group_E, return_inverse=True)
        total_P = np.bincount(of_E, weights=length_E)
        return 1 / (len(groups) * total_P[of_E])

    def _baseline(self, reward_G: Numbers, length_G: Numbers) -> Numbers | float:
        if self.baseline == "leave_one_out":  # arXiv 2402.14740
            others_G: Numbers = (reward_G.sum() - reward_G) / (len(reward_G) - 1)
            return others_G
        if self.baseline == "length":  # arXiv 2505.23585
            return float((length_G * reward_G).sum() / length_G.sum())
        return float(reward_G.mean())


@attrs.frozen
class Objective:
    """A named loss, with the ratio of whole sequences or of tokens, and KL to the reference.

    ratio: ``sequence`` is the geometric mean over its tokens (arXiv 2507.18071), with
        the gradient of each.
    kl: weight of the k3 estimate of KL(policy || reference) as part of the loss.
    """

    surrogate: Loss
    ratio: str
    kl: float

    @property
    def couples(self) -> Literal["token", "sequence", "group", "batch"]:
        return "sequence" if self.ratio == "sequence" else self.surrogate.couples

    def evaluate(self, logprobs: npt.NDArray[np.floating], batch: Batch) -> tuple[float, Numbers]:
        own_N = np.asarray(logprobs, np.float64)
        seen_N = seen_logprobs(self.ratio, own_N, batch)
        value, gradient_N = self.surrogate.evaluate(seen_N, batch)
        if not self.kl:
            return value, gradient_N
        weights_N = np.where(batch.scored, batch.weights, 0.0)
        away_N = np.where(batch.scored, batch.columns["reference_logprobs"] - own_N, 0.0)
        value += self.kl * float(weights_N @ (np.expm1(away_N) - away_N))
        return value, gradient_N - self.kl * weights_N * np.expm1(away_N)


def to_go(values_K: Numbers) -> Numbers:
    """At each token the sum from there to the end."""
    return np.cumsum(values_K[::-1])[::-1]


def seen_logprobs(ratio: str | None, logprobs_N: Numbers, batch: Batch) -> Numbers:
    """The log-probabilities that a loss is given: of ratios of tokens, or of whole sequences."""
    return _of_sequences(logprobs_N, batch) if ratio == "sequence" else logprobs_N


def _of_sequences(logprobs_N: Numbers, batch: Batch) -> Numbers:
    """Log-probabilities at which every token's ratio is the mean one of its sequence."""
    sampled_N = np.asarray(batch.columns["sampling_logprobs"], np.float64)
    away_N = np.where(batch.scored, logprobs_N - sampled_N, 0.0)
    number_S = batch.sum_by_sequence(batch.scored.astype(np.float64))
    mean_S = batch.sum_by_sequence(away_N) / np.maximum(number_S, 1)
    seen_N: Numbers = sampled_N + np.repeat(mean_S, batch.lengths)
    return seen_N


def _spread(values: Numbers) -> float:
    """The standard deviation of a sample."""
    return float(values.std(ddof=1)) if len(values) > 1 else 0.0
