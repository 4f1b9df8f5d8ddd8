"""From log-probabilities of tokens to a loss of pairs, and its gradient back. Knows no method.

Shape legend: N tokens, P pairs, 2 its sides: chosen, rejected.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import attrs
import numpy as np
import numpy.typing as npt

from customize import Batch, NonFiniteError
from customize_dpo.losses import Numbers, PairLoss


@attrs.frozen
class Said:
    """What the policy and the reference say of each answer: sums over its tokens, in nats."""

    policy_P2: Numbers
    reference_P2: Numbers
    num_tokens_P2: Numbers

    @classmethod
    def of(cls, logprobs: npt.NDArray[np.floating], batch: Batch) -> Said:
        """Without the column ``reference_logprobs`` the reference says 0 of everything."""
        reference = batch.columns.get("reference_logprobs", np.zeros(batch.num_tokens))
        columns = (logprobs, reference, batch.scored)
        sums = [batch.sum_by_sequence(np.asarray(column, np.float64)) for column in columns]
        return cls(*(values.astype(np.float64).reshape(-1, 2) for values in sums))


@attrs.frozen
class Coupled:
    """A loss of pairs as a session wants it: never cut inside a pair, summed by share.

    places: where the batch's pairs stand in their source, by group.
    """

    couples: ClassVar[Literal["group"]] = "group"
    pair_loss: PairLoss
    means: bool
    sft: float
    places: Sequence[str]

    def evaluate(self, logprobs: npt.NDArray[np.floating], batch: Batch) -> tuple[float, Numbers]:
        said = Said.of(logprobs, batch)
        size_P2 = said.num_tokens_P2 if self.means else np.ones_like(said.num_tokens_P2)
        loss_P, slope_P2 = self.pair_loss(said.policy_P2 / size_P2, said.reference_P2 / size_P2)
        slope_P2 = slope_P2 / size_P2
        if self.sft:  # arXiv 2404.19733: the chosen side's negative log-likelihood a token
            num_chosen = said.num_tokens_P2[:, 0]
            loss_P = loss_P - self.sft * said.policy_P2[:, 0] / num_chosen
            slope_P2 = slope_P2 - self.sft * np.stack([1 / num_chosen, 0 * num_chosen], axis=1)
        self._check(loss_P, slope_P2, said, batch)
        share_P = batch.sequence_columns["share"][::2].astype(np.float64)
        gradient_N = np.repeat((share_P[:, None] * slope_P2).ravel(), batch.lengths)
        return float(share_P @ loss_P), np.where(batch.scored, gradient_N, 0.0)

    def _check(self, loss_P: Numbers, slope_P2: Numbers, said: Said, batch: Batch) -> None:
        sound = np.isfinite(loss_P) & np.isfinite(slope_P2).all(axis=1)
        sound &= np.isfinite(said.policy_P2).all(axis=1)
        known = np.isfinite(said.reference_P2).all(axis=1)
        for pair in np.flatnonzero(~(sound & known))[:1]:
            where = self.places[batch.groups[2 * pair]]
            if not np.isfinite(said.reference_P2[pair]).all():
                raise NonFiniteError(
                    f"{where}: the reference's log-probability is {_sides(said.reference_P2[pair])}"
                    ": leave the pair out, or take another reference"
                )
            raise NonFiniteError(
                f"{where}: the loss of this pair is {loss_P[pair]} (log-probability "
                f"{_sides(said.policy_P2[pair])}): lower lr, or look at the pair"
            )


def _sides(logprobs_2: Numbers) -> str:
    return f"of chosen {logprobs_2[0]:.4g}, of rejected {logprobs_2[1]:.4g}"


def measures(
    logprobs: npt.NDArray[np.floating],
    batch: Batch,
    beta: float,
    means: bool,
    began_P: Numbers | None,
) -> Mapping[str, float]:
    """What to watch, means over the batch's pairs by their weights, as the loss is.

    reward_chosen, reward_rejected: beta times the policy's log-probability less the reference's.
    margin: their difference; accuracy: the share of pairs where it is above 0.
    logprob_chosen, logprob_rejected: the policy's, of whole answers, in nats.

    Also, in nats a token:

    chosen_change: how much likelier the chosen answers are than ``began_P``, what each of their
        tokens had at the start; left out where that is not known.
    kl_to_reference: KL(reference || policy), where there is a reference, by the estimate
        ``r - 1 - log r`` over all answers' tokens, r the policy's probability over the
        reference's. It is never negative, and unbiased where the reference itself gave the
        answers; elsewhere it tells how far the policy has moved on these answers.
    """
    said = Said.of(logprobs, batch)
    size_P2 = said.num_tokens_P2 if means else np.ones_like(said.num_tokens_P2)
    share_P = _shares(batch)
    reward_P2 = beta * (said.policy_P2 - said.reference_P2) / size_P2
    margin_P = reward_P2[:, 0] - reward_P2[:, 1]
    told = {
        "reward_chosen": share_P @ reward_P2[:, 0],
        "reward_rejected": share_P @ reward_P2[:, 1],
        "margin": share_P @ margin_P,
        "accuracy": share_P @ (margin_P > 0),
        "logprob_chosen": share_P @ said.policy_P2[:, 0],
        "logprob_rejected": share_P @ said.policy_P2[:, 1],
    }
    if began_P is not None:
        now_P = said.policy_P2[:, 0] / said.num_tokens_P2[:, 0]
        told["chosen_change"] = share_P @ (now_P - began_P)
    if "reference_logprobs" in batch.columns:
        away = (logprobs - batch.columns["reference_logprobs"])[batch.scored].astype(np.float64)
        share_N = np.repeat(np.repeat(share_P, 2), batch.lengths)[batch.scored]
        told["kl_to_reference"] = share_N @ (np.expm1(away) - away) / (share_N.sum() or 1.0)
    return {name: float(value) for name, value in told.items()}


def _shares(batch: Batch) -> Numbers:
    """Of each pair in the whole batch, by its weight."""
    share_P = batch.sequence_columns["share"][::2].astype(np.float64)
    return share_P / (share_P.sum() or 1.0)
