"""Exposure: how much sooner a canary's own code would be guessed than another. Trains nothing."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import attrs
import numpy as np

import customize
from customize_audit.canaries import Canary, random_code
from customize_audit.losses import nats


@attrs.frozen
class Exposure:
    """In bits, of each canary, under the run and under its base, which never saw one.

    most: what so many other codes can show; such a canary is exposed by that or more.
    """

    customized: tuple[float, ...]
    base: tuple[float, ...]
    most: float

    @property
    def told(self) -> str:
        """In sentences."""
        means = [sum(each) / len(each) for each in (self.customized, self.base)]
        found = sum(bits >= self.most for bits in self.customized)
        return (
            f"{len(self.customized)} canaries: exposure {means[0]:.1f} bits under the run, "
            f"{means[1]:.1f} under its base; 1.4 is chance, {self.most:.1f} the most that could "
            f"be seen. {found} were likelier than every other code."
        )


def exposure(
    run: customize.Run, canaries: Sequence[Canary], *, others: int = 255, seed: int = 0
) -> Exposure:
    """By rank among random codes: log2 of all codes, less log2 of the rank (arXiv 1802.08232, 4).

    Rather than all codes ``others`` are drawn, from which the share of likelier ones is estimated.
    """
    return Exposure(
        customized=tuple(_bits(run.customized, canary, others, seed) for canary in canaries),
        base=tuple(_bits(run.base, canary, others, seed) for canary in canaries),
        most=math.log2(others + 1),
    )


def _bits(snapshot: customize.Snapshot, canary: Canary, others: int, seed: int) -> float:
    rng = random.Random(f"{seed} {canary.locker}")
    codes = {canary.code: None}
    while len(codes) < others + 1:
        codes[random_code(rng, len(canary.code))] = None
    losses = nats(snapshot, [canary.row(code) for code in codes])[0]
    rank = 1 + int(np.sum(losses[1:] <= losses[0]))
    return math.log2((others + 1) / rank)
