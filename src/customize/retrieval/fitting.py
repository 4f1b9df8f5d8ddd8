"""Fits a map of query vectors to what was wanted. Knows vectors alone; no text, no index.

Shape legend: Q questions, C chunks, D dimensions.
"""

from __future__ import annotations

from typing import Literal

import attrs
import numpy as np
import numpy.typing as npt

from customize.interfaces.index import Vectors

Doubles = npt.NDArray[np.float64]
By = Literal["labels", "likelihoods"]

_TEMPERATURE = 0.05  # of the softmax over cosines
_LEAST = 1e-30  # a share whose logarithm is still finite
_STEPS = 60
_PATIENCE = 8  # steps without a better watched loss
_FIRST_STEP, _GROWTH, _SMALLEST = 1.0, 2.0, 1e-6


@attrs.frozen(eq=False)
class Wanted:
    """What a map is fitted to: queries as their encoder gives them, and how far each wants a chunk.

    shares_QC: of each query, summing to 1. compared_QC: with which chunks a query is compared at
    all. by: ``labels``, where a chunk's share is to become its probability, or ``likelihoods``,
    where the probabilities are to become the shares.
    """

    queries_QD: Vectors
    chunks_CD: Vectors
    shares_QC: Doubles
    compared_QC: npt.NDArray[np.bool_]
    by: By

    def of(self, questions: npt.NDArray[np.bool_]) -> Wanted:
        """The same of some questions, [Q] of them marked."""
        return attrs.evolve(
            self,
            queries_QD=self.queries_QD[questions],
            shares_QC=self.shares_QC[questions],
            compared_QC=self.compared_QC[questions],
        )


def loss_and_gradient(map_DD: Doubles, wanted: Wanted) -> tuple[float, Doubles]:
    """The mean over questions, in nats, and its gradient by the map.

    With P the softmax of a mapped query's cosines over 0.05 and Q the shares: of labels the
    cross-entropy ``-Σ Q log P``; of likelihoods ``KL(P || Q)`` (REPLUG LSR, arXiv 2301.12652,
    equation 4).
    """
    mapped_QD = wanted.queries_QD.astype(np.float64) @ map_DD
    lengths_Q = np.linalg.norm(mapped_QD, axis=1, keepdims=True)
    unit_QD = mapped_QD / lengths_Q
    scores_QC = unit_QD @ wanted.chunks_CD.T.astype(np.float64) / _TEMPERATURE
    logp_QC = _log_softmax(np.where(wanted.compared_QC, scores_QC, -np.inf))
    value_Q, by_score_QC = _divergence(logp_QC, wanted)
    by_unit_QD = by_score_QC @ wanted.chunks_CD / _TEMPERATURE
    along_Q = (by_unit_QD * unit_QD).sum(axis=1, keepdims=True)
    by_mapped_QD = (by_unit_QD - along_Q * unit_QD) / lengths_Q
    gradient_DD = wanted.queries_QD.T @ by_mapped_QD / len(value_Q)
    return float(value_Q.mean()), gradient_DD


def fitted(learnt: Wanted, watched: Wanted) -> Doubles:
    """The map, from the identity on, at which the watched questions' loss was least.

    Plain descent on all questions, each step halved until the loss falls: it moves along what the
    questions have in common, and stopping early keeps it near the identity.
    """
    map_DD = best_DD = np.eye(learnt.queries_QD.shape[1])
    loss, gradient_DD = loss_and_gradient(map_DD, learnt)
    least, _ = loss_and_gradient(map_DD, watched)
    size, waited = _FIRST_STEP, 0
    for _ in range(_STEPS):
        taken = _step(map_DD, loss, gradient_DD, size, learnt)
        if taken is None:
            break
        map_DD, loss, gradient_DD, size = taken
        now, _ = loss_and_gradient(map_DD, watched)
        waited = 0 if now < least else waited + 1
        if now < least:
            least, best_DD = now, map_DD
        if waited == _PATIENCE:
            break
        size *= _GROWTH
    return best_DD


def _step(
    map_DD: Doubles, loss: float, gradient_DD: Doubles, size: float, wanted: Wanted
) -> tuple[Doubles, float, Doubles, float] | None:
    """The largest halving of ``size`` along which the loss falls enough (Armijo, 1966)."""
    slope = float((gradient_DD**2).sum())
    while size > _SMALLEST:
        new_DD = map_DD - size * gradient_DD
        new_loss, new_gradient_DD = loss_and_gradient(new_DD, wanted)
        if new_loss < loss - 1e-4 * size * slope:
            return new_DD, new_loss, new_gradient_DD, size
        size /= 2
    return None


def _divergence(logp_QC: Doubles, wanted: Wanted) -> tuple[Doubles, Doubles]:
    """Of each question, and its gradient by the scores."""
    p_QC, q_QC = np.exp(logp_QC), wanted.shares_QC
    if wanted.by == "labels":
        return -(q_QC * np.where(q_QC > 0, logp_QC, 0.0)).sum(axis=1), p_QC - q_QC
    inside = wanted.compared_QC
    logq_QC = np.log(np.where(inside, np.maximum(q_QC, _LEAST), 1.0))
    away_QC = np.where(inside, logp_QC, 0.0) - logq_QC
    value_Q = (p_QC * away_QC).sum(axis=1)
    return value_Q, p_QC * (away_QC - value_Q[:, None])


def _log_softmax(scores_QC: Doubles) -> Doubles:
    away_QC = scores_QC - scores_QC.max(axis=1, keepdims=True)
    logs: Doubles = away_QC - np.log(np.exp(away_QC).sum(axis=1, keepdims=True))
    return logs
