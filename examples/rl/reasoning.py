"""Reasoning step by step, judged by the last line alone: ``python reasoning.py``.

The warm start shows the form on few conversations; nobody tells the model which step was wrong.
"""

from __future__ import annotations

import re
from pathlib import Path

import chains
from trial import Trial, main

import customize

_ANSWER = re.compile(r"answer: *(-?[0-9]{1,6})")


def right(completion: str, answer: str) -> bool:
    """Whether the last line is the answer in its strict form; the steps are the model's own."""
    said = _ANSWER.fullmatch(completion.strip().rpartition("\n")[2])
    return said is not None and said[1] == answer


TRIAL = Trial(
    name="reasoning",
    environment=customize.judged(right),
    demonstrations=chains.rows(chains.TAUGHT, 96, seed=1, demonstrated=True),
    beside={
        "twice the demonstrations": chains.rows(chains.TAUGHT, 192, seed=1, demonstrated=True),
        "without steps": chains.rows(chains.TAUGHT, 192, seed=1, demonstrated=True, steps=False),
    },
    rows=chains.rows(chains.TAUGHT, 240, seed=2),
    held_out=chains.rows(chains.HELD_OUT, 48, seed=3),
    warm={"epochs": 1.0, "batch_size": 8, "lr": 1e-3},
    options={
        "steps": 10,
        "batch_size": 6,
        "group_size": 8,
        "lr": 2e-4,
        "max_tokens": 40,
    },
)

if __name__ == "__main__":
    main(TRIAL, Path(__file__).parent)
