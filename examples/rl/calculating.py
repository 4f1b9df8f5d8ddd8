"""The calculator over two turns: call it, read its result, answer: ``python calculating.py``.

The warm start shows the form on few conversations; reinforcement learning then only says whether
the answer was right. What remains of it on phrasings that no training had is measured.
"""

from __future__ import annotations

import random
import re
from collections.abc import Generator
from pathlib import Path

import sums
from trial import Trial, main

import customize
from customize import BadCall, Reply, Row, calculator

_CALL = re.compile(r"\s*calc: *([^\n]{1,60})\s*")
_ANSWER = re.compile(r"\s*answer: *(-?[0-9]{1,12})\s*")


@customize.environment
def calculating(row: Row, rng: random.Random) -> Generator[object, Reply, dict[str, float]]:
    """Right is an answer in the strict form that is the right number, after a call."""
    reply = yield row["messages"]
    called = 0
    while called < 3 and (call := _CALL.fullmatch(reply.text)):
        called += 1
        try:
            reply = yield f"result: {calculator(call[1])}"
        except BadCall as error:
            reply = yield f"error: {error}"
    said = _ANSWER.fullmatch(reply.text)
    right = said is not None and said[1] == row["answer"]
    return {"right": float(right and called > 0)}


TRIAL = Trial(
    name="calculator",
    environment=calculating,
    demonstrations=sums.rows(sums.TAUGHT, 48, seed=1, demonstrated=True),
    beside={"twice the demonstrations": sums.rows(sums.TAUGHT, 96, seed=1, demonstrated=True)},
    rows=sums.rows(sums.TAUGHT, 240, seed=2),
    held_out=sums.rows(sums.HELD_OUT, 48, seed=3),
    warm={"epochs": 1.0, "batch_size": 8, "lr": 1e-3},
    options={
        "steps": 10,
        "batch_size": 6,
        "group_size": 8,
        "lr": 5e-4,
        "max_tokens": 24,
        "max_turns": 4,
    },
)

if __name__ == "__main__":
    main(TRIAL, Path(__file__).parent)
