"""Warnings: what tends to go wrong in a run, told once. Knows metrics, and no algorithm."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import Any

State = dict[str, Any]  # JSON values

_FIRST, _FADING = 3, 0.7  # steps that make the beginning, and what of the past a mean keeps
_WATCHED = (
    *("entropy", "length", "truncated", "most_said"),
    *("groups", "groups_taught", "flat_right", "flat_wrong"),
)
_MOVED = 0.1  # of a part, to say that it rose or fell
_HALVED, _LONG, _CUT, _SAME, _TAUGHT = 0.5, 2.0, 0.25, 0.5, 0.1


def warned(state: Mapping[str, Any], metrics: Mapping[str, float], number: int) -> State:
    """The state after a step; each kind of trouble is told when it is first seen."""
    seen = {k: v for k, v in metrics.items() if k in _WATCHED or k.startswith("reward/")}
    first: State = dict(state.get("first", {}))
    now: State = dict(state.get("now", {}))
    for name, value in seen.items():
        taken = min(number, _FIRST)
        if number <= _FIRST:
            first[name] = first.get(name, 0.0) + (value - first.get(name, 0.0)) / taken
        now[name] = _FADING * now[name] + (1 - _FADING) * value if name in now else value
    told = list(state.get("told", ()))
    if number > _FIRST:
        for kind, text in _troubles(first, now):
            if kind not in told:
                told.append(kind)
                warnings.warn(f"step {number}: {text}", stacklevel=3)
    return {"first": first, "now": now, "told": told}


def _troubles(first: Mapping[str, float], now: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    rising, falling = _parts(first, now)
    if rising and falling:
        yield (
            "parts",
            f"the reward's part {rising[0]} rises while {falling[0]} falls: it may be rewarded for "
            "what you did not mean; look at completions with customize look",
        )
    if now["entropy"] < _HALVED * first["entropy"]:
        yield (
            "entropy",
            f"entropy has fallen from {first['entropy']:.2f} to {now['entropy']:.2f} nats a token: "
            "little is tried out any more. Lower lr, or raise clip_high",
        )
    if now["length"] > _LONG * first["length"]:
        yield (
            "length",
            f"episodes have grown from {first['length']:.0f} to {now['length']:.0f} tokens: add "
            "customize.overlong to the reward, or lower max_tokens",
        )
    if now["truncated"] > _CUT:
        yield (
            "truncated",
            f"{now['truncated']:.0%} of the episodes are cut: raise max_tokens or max_turns; with "
            "truncated=drop nothing is learnt from these",
        )
    if now["groups_taught"] < _TAUGHT * now["groups"]:
        yield (
            "flat",
            "hardly a group teaches anything, since all in it are rewarded alike "
            f"({now['flat_right']:.0%} of groups all right, {now['flat_wrong']:.0%} all wrong): "
            "where all are right take harder rows; where all are wrong easier ones, a short SFT "
            "before, or a reward with parts",
        )
    if now["most_said"] > max(_SAME, 2 * first["most_said"]):
        yield (
            "most_said",
            f"{now['most_said']:.0%} of the completions are one and the same, whatever the prompt: "
            "look at them with customize look",
        )


def _parts(first: Mapping[str, float], now: Mapping[str, float]) -> tuple[list[str], list[str]]:
    """The parts that rose and those that fell, by more than a tenth."""
    moved = {
        name.removeprefix("reward/"): now[name] - first[name]
        for name in first
        if name.startswith("reward/")
    }
    rising = [name for name, change in moved.items() if change > _MOVED]
    return rising, [name for name, change in moved.items() if change < -_MOVED]
