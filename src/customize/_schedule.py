"""The learning rate and the row of a step, as functions of numbers. Knows no data and no model."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt


def shuffled_row(seed: int, place: int, num_rows: int) -> int:
    """The row at a place of the endless sequence of shuffled epochs."""
    epoch, index = divmod(place, num_rows)
    return int(_order(seed, epoch, num_rows)[index])


@lru_cache(maxsize=4)
def _order(seed: int, epoch: int, num_rows: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng([seed, epoch]).permutation(num_rows)


def schedule_factor(schedule: str, step: int, num_steps: int, warmup: float) -> float:
    """What the peak rate is multiplied by at ``step`` (1 for the first).

    warmup: share of all steps over which the rate rises linearly.
    "wsd" (arXiv 2404.06395) stays at the peak and falls linearly over the last fifth.
    """
    rising = math.ceil(warmup * num_steps)
    if step <= rising:
        return step / (rising + 1)
    done = (step - rising - 1) / max(1, num_steps - rising)
    return _after_warmup(schedule, done)


def _after_warmup(schedule: str, done: float) -> float:
    if schedule == "linear":
        return 1.0 - done
    if schedule == "cosine":
        return 0.5 * (1.0 + math.cos(math.pi * done))
    if schedule == "wsd":
        return min(1.0, (1.0 - done) / 0.2)
    return 1.0
