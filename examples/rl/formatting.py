"""A strict format: JSON with three keys and nothing else: ``python formatting.py``."""

from __future__ import annotations

import json
from pathlib import Path

import people
from trial import Trial, main

import customize

_KEYS = ("name", "age", "city")


def said(completion: str, row: customize.Row) -> dict[str, float]:
    """Whether it is one JSON object of the three keys, and the share of values that are right."""
    try:
        found = json.loads(completion)
    except (ValueError, RecursionError):
        return {"form": 0.0, "values": 0.0}
    if not isinstance(found, dict) or set(found) != set(_KEYS):
        return {"form": 0.0, "values": 0.0}
    return {"form": 0.5, "values": 0.5 * sum(found[k] == row[k] for k in _KEYS) / len(_KEYS)}


TRIAL = Trial(
    name="format",
    environment=customize.judged(said),
    demonstrations=people.rows(people.TAUGHT, "taught", 6, seed=1, demonstrated=True),
    beside={
        "twice the demonstrations": people.rows(
            people.TAUGHT, "taught", 12, seed=1, demonstrated=True
        )
    },
    rows=people.rows(people.TAUGHT, "taught", 240, seed=2),
    held_out=people.rows(people.HELD_OUT, "held out", 48, seed=3),
    warm={"epochs": 1.0, "batch_size": 3, "lr": 5e-4},
    options={
        "steps": 12,
        "batch_size": 6,
        "group_size": 8,
        "lr": 5e-4,
        "max_tokens": 40,
    },
)

if __name__ == "__main__":
    main(TRIAL, Path(__file__).parent)
