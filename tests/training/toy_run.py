"""A run of the toy backend in a process of its own: ``python toy_run.py FOLDER``."""

from __future__ import annotations

import sys

import customize
from customize.testing import ToyBackend

ROWS = [
    {
        "messages": [
            {"role": "user", "content": f"question {i}"},
            {"role": "assistant", "content": "yes " * (1 + i % 3)},
        ]
    }
    for i in range(6)
]

customize.train(
    model="toy",
    data=ROWS,
    to=sys.argv[1],
    backend=ToyBackend(),
    options={"epochs": 3, "batch_size": 3, "lr": 0.05, "replay": 0.25},
    checkpoint_every=1,
    seed=3,
)
