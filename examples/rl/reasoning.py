"""Reasoning step by step, judged by the last line alone: ``python reasoning.py``.

Of the warm start's demonstrations half reason and half answer at once. Which of both pays is what
reinforcement learning is to find; nobody tells the model which step was wrong.
"""

from __future__ import annotations

from pathlib import Path

import chains
from trial import Trial, main

import customize


def right(completion: str, answer: str) -> bool:
    """Whether the last line is the answer; the steps before it are the model's own."""
    return completion.strip().rpartition("\n")[2] == answer


def shown(num_rows: int, seed: int = 1) -> list[chains.Row]:
    """Demonstrations of which half answer at once."""
    both = [chains.rows(chains.TAUGHT, num_rows, seed, True, steps) for steps in (True, False)]
    return [both[i // len(chains.TAUGHT) % 2][i] for i in range(num_rows)]


TRIAL = Trial(
    name="reasoning",
    environment=customize.judged(right),
    demonstrations=shown(192),
    beside={
        "twice the demonstrations": shown(384),
        "with steps alone": chains.rows(chains.TAUGHT, 192, seed=1, demonstrated=True),
        "without steps": chains.rows(chains.TAUGHT, 192, seed=1, demonstrated=True, steps=False),
    },
    rows=chains.rows(chains.TAUGHT, 240, seed=2),
    held_out=chains.rows(chains.HELD_OUT, 96, seed=3),
    warm={"epochs": 1.0, "batch_size": 8, "lr": 1e-3},
    options={
        "steps": 16,
        "batch_size": 6,
        "group_size": 8,
        "lr": 2e-4,
        "max_tokens": 40,
    },
)

if __name__ == "__main__":
    main(TRIAL, Path(__file__).parent)
