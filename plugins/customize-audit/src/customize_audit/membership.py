"""Membership inference by loss: can one tell which rows were trained on? Trains nothing.

Shape legend: M members, O others, R resamples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

import customize
from customize_audit.losses import nats

Floats = npt.NDArray[np.float64]


@attrs.frozen
class Area:
    """Under the curve: how often a member is taken for likelier than another row; 0.5 is chance."""

    estimate: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.estimate:.2f} [{self.low:.2f}, {self.high:.2f}]"


@attrs.frozen
class Membership:
    """by_loss: by nats a token alone. by_gain: by how much less that is than the base's."""

    by_loss: Area
    by_gain: Area
    num_members: int
    num_others: int

    @property
    def told(self) -> str:
        """In sentences."""
        told = "can be told" if self.by_gain.low > 0.5 else "cannot be told"
        return (
            f"{self.num_members} training rows {told} from {self.num_others} others: area under "
            f"the curve {self.by_gain} by gain over the base, {self.by_loss} by loss alone; "
            "0.5 is chance."
        )


def membership(
    run: customize.Run,
    members: Sequence[Mapping[str, Any]],
    others: Sequence[Mapping[str, Any]],
    *,
    seed: int = 0,
) -> Membership:
    """Attack with the loss (arXiv 1709.01604), plain and against the base (arXiv 2111.08440).

    ``others`` must be like ``members`` but for not having been trained on, as a split makes them.

    Raises:
        DataError: either has fewer than two rows.
    """
    if min(len(members), len(others)) < 2:
        raise customize.DataError("membership needs two training rows and two others, or more")
    loss = [_per_token(run.customized, rows) for rows in (members, others)]
    before = [_per_token(run.base, rows) for rows in (members, others)]
    gain = [b - a for a, b in zip(loss, before, strict=True)]
    return Membership(
        by_loss=area(-loss[0], -loss[1], seed),
        by_gain=area(gain[0], gain[1], seed),
        num_members=len(members),
        num_others=len(others),
    )


def area(members_M: Floats, others_O: Floats, seed: int = 0, resamples: int = 2000) -> Area:
    """With a 95 % interval by the percentile bootstrap of both sides; ties count half."""
    above_MO = np.sign(members_M[:, None] - others_O) / 2 + 0.5
    rng = np.random.default_rng(seed)
    weights_RM, weights_RO = (
        rng.multinomial(num, np.full(num, 1 / num), size=resamples) / num for num in above_MO.shape
    )
    drawn_R = np.einsum("rm,mo,ro->r", weights_RM, above_MO, weights_RO, optimize=True)
    low, high = np.percentile(drawn_R, [2.5, 97.5])
    return Area(float(above_MO.mean()), float(low), float(high))


def _per_token(snapshot: customize.Snapshot, rows: Sequence[Mapping[str, Any]]) -> Floats:
    total, tokens = nats(snapshot, rows)
    return total / tokens
