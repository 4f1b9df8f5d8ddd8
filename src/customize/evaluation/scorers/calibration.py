"""Whether a model knows when it is right. Knows confidences and rights, and no texts.

Shape legend: N rows, R resamples.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from customize._options import option, options
from customize.interfaces.dataset import Row
from customize.interfaces.scorer import Answer, Doubles, Score, Scorer


@options
class Calibration(Scorer):
    """Confidence, the probability of what ``expect`` judged, against whether it held.

    That is the whole answer, or the row's likeliest choice among the choices.

    brier: squared distance of the two. Over all rows: ece, the expected calibration error
    (arXiv 1706.04599), and risk, the mean share of wrong answers among the most confident, over
    all numbers of answers one may keep (area under the coverage-risk curve, arXiv 1705.08500).
    """

    lower_is_better = frozenset({"brier", "ece", "risk"})
    reads_answer = False  # but by ``expect``, which says so itself

    bins: int = option(default=10, help="Bins of equal width for ece.", at_least=1)

    def score(self, answer: Answer, row: Row) -> Score:
        if answer.right is None or answer.confidence is None:
            return None
        confidence, right = answer.confidence, float(answer.right)
        return {"confidence": confidence, "held": right, "brier": (confidence - right) ** 2}

    def summary(self, scores: Mapping[str, Doubles], weights_RN: Doubles) -> Mapping[str, Doubles]:
        confidence_N, right_N = scores["confidence"], scores["held"]
        return {
            "ece": ece(confidence_N, right_N, weights_RN, self.bins),
            "risk": mean_risk(confidence_N, right_N, weights_RN),
        }


def ece(confidence_N: Doubles, right_N: Doubles, weights_RN: Doubles, bins: int) -> Doubles:
    """Distance of confidence and rights in each bin, weighted by its rows; [R]."""
    numbers_N = np.minimum((confidence_N * bins).astype(int), bins - 1)
    away_R = np.zeros(len(weights_RN))
    for number in range(bins):
        inside_N = numbers_N == number
        away_R += np.abs(weights_RN[:, inside_N] @ (confidence_N - right_N)[inside_N])
    total: Doubles = away_R / weights_RN.sum(axis=1)
    return total


def mean_risk(confidence_N: Doubles, right_N: Doubles, weights_RN: Doubles) -> Doubles:
    """Share of wrong answers among the k most confident, averaged over all k; [R]."""
    order = np.argsort(-confidence_N, kind="stable")
    kept_RN = np.cumsum(weights_RN[:, order], axis=1)
    wrong_RN = np.cumsum(weights_RN[:, order] * (1 - right_N[order]), axis=1)
    risk_RN = wrong_RN / np.maximum(kept_RN, 1e-12)
    total: Doubles = (risk_RN * weights_RN[:, order]).sum(axis=1) / kept_RN[:, -1]
    return total


def coverage_risk(confidence_N: Doubles, right_N: Doubles) -> tuple[Doubles, Doubles]:
    """The curve itself: share of rows answered, and share of wrong ones among them; each [N]."""
    order = np.argsort(-confidence_N, kind="stable")
    kept_N = np.arange(1, len(order) + 1)
    return kept_N / len(order), np.cumsum(1 - right_N[order]) / kept_N
