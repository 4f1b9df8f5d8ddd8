"""The named losses, with their gradients, in numpy. Knows nothing of models or torch.

Each is a sum over tokens of ``weights`` times its term, as published with the Tinker API
(forward_backward's ``loss_fn``), with the published defaults. ``r`` is the ratio of the policy's
probability to the one the token was sampled from, ``A`` the advantage.
"""

from __future__ import annotations

from typing import ClassVar, Protocol, runtime_checkable

import attrs
import numpy as np
import numpy.typing as npt

from customize._batch import Batch
from customize._differentiate import Couples
from customize._errors import DataError, OptionError

Numbers = npt.NDArray[np.float64]


@runtime_checkable
class Loss(Protocol):
    """A function of log-probabilities and a batch, that knows its own gradient."""

    @property
    def couples(self) -> Couples:
        """What is never cut: ``token``, ``sequence``, ``group`` or ``batch``."""

    def evaluate(self, logprobs: npt.NDArray[np.floating], batch: Batch) -> tuple[float, Numbers]:
        """The loss, a sum, and its gradient by log-probability, float64 [N]."""


@attrs.frozen
class CrossEntropy:
    """``-Σ w · logprob``."""

    name: ClassVar[str] = "cross_entropy"
    couples: ClassVar[Couples] = "token"

    def evaluate(self, logprobs: npt.NDArray[np.floating], batch: Batch) -> tuple[float, Numbers]:
        weights = batch.weights.astype(np.float64)
        return float(-(weights * logprobs).sum()), -weights


@attrs.frozen
class ImportanceSampling:
    """``-Σ w · r · A``."""

    name: ClassVar[str] = "importance_sampling"
    couples: ClassVar[Couples] = "token"

    def evaluate(self, logprobs: npt.NDArray[np.floating], batch: Batch) -> tuple[float, Numbers]:
        weights, advantages, ratio = _policy_columns(logprobs, batch)
        terms = -weights * ratio * advantages
        return float(terms.sum()), terms


@attrs.frozen
class PPO:
    """``-Σ w · min(r · A, clip(r, low, high) · A)`` (arXiv 1707.06347, equation 7).

    dual: where A < 0 no term is less than ``dual · A`` (arXiv 1912.09729).
    """

    name: ClassVar[str] = "ppo"
    couples: ClassVar[Couples] = "token"
    low: float = 0.8
    high: float = 1.2
    dual: float | None = None

    def __attrs_post_init__(self) -> None:
        _check_thresholds(self.low, self.high)
        if self.dual is not None and self.dual <= 1:
            raise OptionError(f"dual must be > 1 (got {self.dual})")

    def evaluate(self, logprobs: npt.NDArray[np.floating], batch: Batch) -> tuple[float, Numbers]:
        weights, advantages, ratio = _policy_columns(logprobs, batch)
        free = ratio * advantages
        clipped = np.clip(ratio, self.low, self.high) * advantages
        gradient = np.where(free <= clipped, -weights * free, 0.0)
        terms = np.minimum(free, clipped)
        if self.dual is not None:
            beyond = (advantages < 0) & (terms < self.dual * advantages)
            terms = np.where(beyond, self.dual * advantages, terms)
            gradient = np.where(beyond, 0.0, gradient)
        return float(-(weights * terms).sum()), gradient


@attrs.frozen
class CISPO:
    """``-Σ w · sg(clip(r, low, high)) · logprob · A`` (arXiv 2506.13585, equation 4)."""

    name: ClassVar[str] = "cispo"
    couples: ClassVar[Couples] = "token"
    low: float = 0.0
    high: float = 4.0

    def __attrs_post_init__(self) -> None:
        _check_thresholds(self.low, self.high)

    def evaluate(self, logprobs: npt.NDArray[np.floating], batch: Batch) -> tuple[float, Numbers]:
        weights, advantages, ratio = _policy_columns(logprobs, batch)
        gradient = -weights * np.clip(ratio, self.low, self.high) * advantages
        return float((gradient * logprobs).sum()), gradient


@attrs.frozen
class DRO:
    """``-Σ w · (logprob · A - beta/2 · (logprob - sampling_logprob)²)`` (arXiv 2405.19107)."""

    name: ClassVar[str] = "dro"
    couples: ClassVar[Couples] = "token"
    beta: float = 0.05

    def evaluate(self, logprobs: npt.NDArray[np.floating], batch: Batch) -> tuple[float, Numbers]:
        weights, advantages, _ = _policy_columns(logprobs, batch)
        away = np.asarray(logprobs, np.float64) - batch.columns["sampling_logprobs"]
        terms = logprobs * advantages - self.beta / 2 * away**2
        return float(-(weights * terms).sum()), -weights * (advantages - self.beta * away)


NAMED_LOSSES = {loss.name: loss for loss in (CrossEntropy, ImportanceSampling, PPO, CISPO, DRO)}


def _policy_columns(
    logprobs: npt.NDArray[np.floating], batch: Batch
) -> tuple[Numbers, Numbers, Numbers]:
    missing = {"advantages", "sampling_logprobs"} - batch.columns.keys()
    if missing:
        raise DataError(f"this loss needs the columns {', '.join(sorted(missing))} in the batch")
    weights = batch.weights.astype(np.float64)
    away = np.asarray(logprobs, np.float64) - batch.columns["sampling_logprobs"]
    ratio = np.where(weights != 0, np.exp(np.where(weights != 0, away, 0.0)), 0.0)
    return weights, batch.columns["advantages"].astype(np.float64), ratio


def _check_thresholds(low: float, high: float) -> None:
    if not 0 <= low <= high:
        raise OptionError(f"clip thresholds must be 0 <= low <= high (got {low}, {high})")
