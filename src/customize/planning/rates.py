"""How fast this machine computes, and what it holds, as planned runs have shown. Knows no model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import attrs
import numpy as np

from customize._files import replace_text
from customize.models.cache import cache_root

_KEPT = 20  # of the newest runs for each kind of machine
_LEAST_SPREAD = 0.15


@attrs.frozen
class Rate:
    """How much of what is counted goes into one of what is measured: operations into a second,
    bytes counted into a byte that was held. low, high: between which four of five runs lie.
    """

    middle: float
    low: float
    high: float
    runs: int

    def expected(self, counted: float) -> tuple[float, float, float]:
        """What that will measure: [estimate, low, high]."""
        return counted / self.middle, counted / self.high, counted / self.low


def rate_of(machine: str, but: str | None = None) -> Rate | None:
    """What was remembered of a machine, but for one run; None of a new one."""
    found = _read().get(machine, {})
    rates = [run["counted"] / run["measured"] for name, run in found.items() if name != but]
    if not rates:
        return None
    middle = float(np.median(rates))
    low, high = (float(x) for x in np.quantile(rates, [0.1, 0.9]))
    few = _LEAST_SPREAD if len(rates) > 2 else 2 * _LEAST_SPREAD
    return Rate(middle, min(low, middle * (1 - few)), max(high, middle * (1 + few)), len(rates))


def remember(machine: str, run: str, counted: float, measured: float) -> None:
    """Keep what a run took, once for each run."""
    found = _read()
    runs = {**found.get(machine, {}), run: {"counted": counted, "measured": measured}}
    found[machine] = dict([*runs.items()][-_KEPT:])
    _file().parent.mkdir(parents=True, exist_ok=True)
    replace_text(_file(), json.dumps(found, indent=1))


_OF_SPEED = ("on", "dtype", "kernels", "threads", "base")


def machine_name(
    backend: str,
    numerics: Mapping[str, Any],
    processor: str,
    machine: Mapping[str, Any] = MappingProxyType({}),
) -> str:
    """What runs of equal speed share. ``machine``: what the backend says of it."""
    told = {**{key: numerics[key] for key in _OF_SPEED if key in numerics}, **machine}
    return " ".join([backend, *(f"{key}={value}" for key, value in told.items()), processor])


def evaluating_on(machine: str) -> str:
    """The same for evaluations, which draw token by token and reach less."""
    return f"{machine} evaluating"


def holding_on(machine: str) -> str:
    """The same for bytes that were held, in place of seconds."""
    return f"{machine} holding"


def _file() -> Path:
    return cache_root() / "planning" / "runs.json"


def _read() -> dict[str, dict[str, dict[str, float]]]:
    try:
        found = json.loads(_file().read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
