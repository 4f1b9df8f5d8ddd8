"""Environments that play in a process of their own: they must be importable there."""

from __future__ import annotations

import os
import random
import sys
from typing import Any

import numpy as np

import customize


@customize.environment(isolate=True, seconds=1.0)
def guarded(row: Any, rng: random.Random, doomed: float = 2.0, how: str = "") -> Any:
    """Ends well unless its own number is the doomed one."""
    number = rng.random()
    print("this must not stand among the answers")
    reply = yield f"{row['messages'][0]['content']} {number}"
    reply = yield [{"role": "user", "content": f"You said {reply.text}."}]
    if number == doomed:
        _fail(how)
    return {"number": number, "length": len(reply.text)}


def _fail(how: str) -> None:
    if how == "crashes":
        os._exit(7)
    if how == "raises":
        raise OSError("gone")
    if how == "floods":
        sys.stderr.write("")
        raise ValueError("x" * 100)
    sum(range(10**12))  # no signal is looked at in there


@customize.environment(isolate=True)
def cling(row: Any, rng: random.Random) -> Any:
    try:
        while True:
            yield customize.Turn("On.", restart=True)
    except customize.OutOfRoom:
        return 0.25


@customize.environment(isolate=True)
def odd(row: Any, rng: random.Random) -> Any:
    yield "Go."
    return {1, 2}


HALF: Any = np.float32(0.5)
REWARDS = {
    "number": HALF,
    "parts": {"won": np.int64(1), "brief": np.bool_(False)},
    "verdict": customize.Verdict(0.5, {"won": HALF}, {"bad": 1}, {"look": (2, 0.5)}),
}


@customize.environment(isolate=True)
def rewarding(row: Any, rng: random.Random, kind: str = "number") -> Any:
    yield "Go."
    return REWARDS[kind]


@customize.environment(isolate=True)
def unplain(row: Any, rng: random.Random, turn: str = "yes") -> Any:
    messages = [{"role": "user", "content": "Go.", "seen": {1, 2}}]
    yield customize.Turn(messages) if turn == "yes" else messages
    return 1.0
