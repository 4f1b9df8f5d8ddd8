"""Learning-rate schedules as factors of the peak rate. Knows only step numbers."""

from __future__ import annotations

import math


def factor(schedule: str, step: int, num_steps: int, warmup: float) -> float:
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
