"""Whether the chosen answers themselves become less likely. Knows metrics, and no loss."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any

_FALLEN = 0.1  # nats a token
_FADING = 0.9  # of the running mean that is compared with it


def watched(state: Mapping[str, Any], metrics: Mapping[str, float]) -> dict[str, Any]:
    """The state after a step; warns, once a run, when they have clearly become so."""
    if not math.isfinite(metrics["chosen_change"]):
        return dict(state)
    change = _FADING * state["chosen_change"] + (1 - _FADING) * metrics["chosen_change"]
    fallen = change < -_FALLEN
    if fallen and not state["warned"]:
        warnings.warn(
            f"the chosen answers have become less likely than at the start ({change:.2f} nats "
            "a token): the margin grows because both sides fall. Set sft=0.2, or lower lr",
            stacklevel=3,
        )
    return {**state, "chosen_change": change, "warned": bool(fallen or state["warned"])}
