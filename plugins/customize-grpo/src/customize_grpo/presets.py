"""Published methods as choices of options, and what to know of each. Knows no algorithm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_PPO: Mapping[str, Any] = {"clip": "ppo", "clip_low": 0.2, "clip_high": 0.2}

# What a run does where neither an option nor a preset says otherwise.
DEFAULTS: Mapping[str, Any] = {
    "baseline": "mean",
    "scale": "none",
    "per": "token",
    "ratio": "token",
    "clip": "weight",
    "clip_low": 0.0,
    "clip_high": 5.0,
    "kl": 0.0,
    "kl_as": "to_go",
    "horizon": 0,
    "refill": 0,
}

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "grpo": {**_PPO, "scale": "group", "per": "sequence", "kl": 0.04, "kl_as": "loss"},
    "dr-grpo": {**_PPO, "per": "constant"},
    "dapo": {**_PPO, "clip_high": 0.28, "scale": "group", "per": "prompt", "refill": 3},
    "gspo": {
        "scale": "group",
        "per": "sequence",
        "ratio": "sequence",
        "clip": "ppo",
        "clip_low": 3e-4,
        "clip_high": 4e-4,
    },
    "cispo": {"scale": "group"},
    "rloo": {
        "baseline": "leave_one_out",
        "per": "constant",
        "horizon": 1,
        "clip": "none",
        "kl": 0.05,
        "kl_as": "reward",
    },
    "reinforce++": {**_PPO, "baseline": "none", "scale": "tokens", "kl": 0.01},
    "opo": {"baseline": "length", "clip": "none"},
    "scalerl": {"scale": "batch", "per": "prompt"},
}

NOTES: Mapping[str, str] = {
    "grpo": "k3 as a loss points as much at the forward KL as at the reverse one; kl_as=to_go is "
    "the exact gradient",
    "dapo": "a token counts by prompt, as in the paper's equation; two well-known codes count by "
    "token (per=token). Add customize.overlong(limit, buffer) to the reward for its penalty",
    "cispo": "the cap on the weight is set to 5; the paper gives none",
    "rloo": "the weight of KL is this project's choice, 0.05",
    "reinforce++": "the weight of KL is this project's choice, 0.01",
    "scalerl": "rows that are solved are not retired; set lag=8 for its asynchrony",
}
