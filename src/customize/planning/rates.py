"""How fast this machine computes, as runs that were planned have shown. Knows no model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from customize._files import replace_text
from customize.models.cache import cache_root

_KEPT = 20  # of the newest runs for each kind of machine
_LEAST_SPREAD = 0.15


@attrs.frozen
class Rate:
    """Operations a second. low, high: between which four of five runs lie. runs: how many."""

    flops_per_s: float
    low: float
    high: float
    runs: int

    def seconds(self, flops: float) -> tuple[float, float, float]:
        """That so many operations take: [estimate, low, high]."""
        return flops / self.flops_per_s, flops / self.high, flops / self.low


def rate_of(machine: str) -> Rate | None:
    """What was remembered of a machine; None of a new one."""
    found = _read().get(machine, {})
    speeds = sorted(run["flops"] / run["seconds"] for run in found.values())
    if not speeds:
        return None
    middle = float(np.median(speeds))
    low, high = (float(x) for x in np.quantile(speeds, [0.1, 0.9]))
    few = _LEAST_SPREAD if len(speeds) > 2 else 2 * _LEAST_SPREAD
    return Rate(middle, min(low, middle * (1 - few)), max(high, middle * (1 + few)), len(speeds))


def remember(machine: str, run: str, flops: float, seconds: float) -> None:
    """Keep what a run took, once for each run."""
    found = _read()
    runs = {**found.get(machine, {}), run: {"flops": flops, "seconds": seconds}}
    found[machine] = dict([*runs.items()][-_KEPT:])
    _file().parent.mkdir(parents=True, exist_ok=True)
    replace_text(_file(), json.dumps(found, indent=1))


def machine_name(backend: str, numerics: Mapping[str, Any], processor: str) -> str:
    """What runs of equal speed share."""
    told = [f"{key}={numerics[key]}" for key in ("dtype", "threads") if key in numerics]
    return " ".join([backend, *told, processor])


def evaluating_on(machine: str) -> str:
    """The same for evaluations, which draw token by token and reach less."""
    return f"{machine} evaluating"


def _file() -> Path:
    return cache_root() / "planning" / "rates.json"


def _read() -> dict[str, dict[str, dict[str, float]]]:
    try:
        found = json.loads(_file().read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
