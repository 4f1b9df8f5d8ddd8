"""Published methods as choices of options, and what to know of each. Knows no algorithm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_PPO: Mapping[str, Any] = {"clip": "ppo", "clip_low": 0.2, "clip_high": 0.2}
_WEIGHT: Mapping[str, Any] = {"clip": "weight", "clip_low": 0.0, "clip_high": 5.0}
_UNCLIPPED: Mapping[str, Any] = {"clip": "none", "clip_low": None, "clip_high": None}
_CLIPS: Mapping[str, Mapping[str, Any]] = {"ppo": _PPO, "weight": _WEIGHT, "none": _UNCLIPPED}

# What a run does where neither an option nor a preset says otherwise.
DEFAULTS: Mapping[str, Any] = {
    "baseline": "mean",
    "scale": "none",
    "per": "token",
    "ratio": "token",
    **_WEIGHT,
    "kl": 0.0,
    "kl_as": "to_go",
    "horizon": 0,
    "refill": 0,
    "overlong": 0.0,
}

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "grpo": {**_PPO, "scale": "group", "per": "sequence", "kl": 0.04, "kl_as": "loss"},
    "dr-grpo": {**_PPO, "per": "constant"},
    "dapo": {
        **_PPO,
        "clip_high": 0.28,
        "scale": "group",
        "per": "prompt",
        "refill": 3,
        "overlong": 0.2,
    },
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
        **_UNCLIPPED,
        "baseline": "leave_one_out",
        "per": "constant",
        "horizon": 1,
        "kl": 0.05,
        "kl_as": "reward",
    },
    "reinforce++": {**_PPO, "baseline": "none", "scale": "tokens", "kl": 0.01},
    "opo": {**_UNCLIPPED, "baseline": "length"},
    "scalerl": {"scale": "batch", "per": "prompt"},
}

# What differs from the paper, and what of it is for other options, or not here.
NOTES: Mapping[str, str] = {
    "grpo": "the reference stays the policy of the start. k3 as a loss points as much at the "
    "forward KL as at the reverse one: kl_as=to_go is the exact gradient",
    "dr-grpo": "nothing is left out; its constant is max_tokens, horizon sets another",
    "dapo": "a token counts by prompt, as in the paper's equation: two well-known codes count by "
    "token, per=token. Groups are sampled anew 3 times at most, and not until all teach something. "
    "What was cut is judged: truncated=drop leaves it out",
    "gspo": "nothing is left out",
    "cispo": "the cap on the weight is this project's choice, 5. The paper also uses what dapo "
    "adds: refill=3, overlong=0.2",
    "rloo": "the weight of KL is this project's choice, 0.05",
    "reinforce++": "the weight of KL is this project's choice, 0.01",
    "opo": "it is exactly on-policy: leave updates=1 and lag=0",
    "scalerl": "groups that are all alike are left out. Not here: retiring rows that are solved, "
    "interrupting long thoughts. Its asynchrony is lag=8: where sampling and training take turns "
    "it saves no time, so lag stays as it is given",
}


def settled(preset: str | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """Each option of ``DEFAULTS``: as it is given, else as the preset has it, else by default.

    A clip has thresholds of its own: a preset's are for the clip of the preset alone.
    """
    said = {name: given[name] for name in DEFAULTS if given[name] is not None}
    usual = {**DEFAULTS, **PRESETS.get(preset or "", {})}
    if (clip := said.get("clip", usual["clip"])) != usual["clip"]:
        usual |= _CLIPS[clip]
    return {**usual, **said}


def unread(chosen: Mapping[str, Any]) -> dict[str, str]:
    """By option, what it is that leaves it without effect."""
    out = {}
    if chosen["per"] != "constant":
        out["horizon"] = "without per=constant"
    if not chosen["kl"]:
        out["kl_as"] = "with kl=0"
    if chosen["clip"] == "none":
        out |= dict.fromkeys(("clip_low", "clip_high"), "with clip=none")
    if chosen["surrogate"] is not None:
        names = ("clip", "clip_low", "clip_high", "dual")
        out |= dict.fromkeys(names, "with surrogate, which takes the place of clip")
    return out
