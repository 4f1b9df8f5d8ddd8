"""Runs of the toy backend in a process of its own: ``python toy_run.py FOLDER... [stages]``."""

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

PAIRS = [{"prompt": f"question {i}", "chosen": "yes", "rejected": "no"} for i in range(6)]
SFT = {"data": ROWS, "options": {"epochs": 3, "batch_size": 3, "lr": 0.05, "replay": 0.25}}
DPO = {"data": PAIRS, "method": "dpo", "options": {"epochs": 3, "batch_size": 2, "lr": 0.02}}

folders = [given for given in sys.argv[1:] if given != "stages"]
work = {"stages": [SFT, DPO]} if "stages" in sys.argv else SFT
for to in folders:
    customize.train(model="toy", to=to, backend=ToyBackend(), checkpoint_every=1, seed=3, **work)
