"""A real model trained on the device, by SFT and by DPO."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import customize
from customize_torch.gpu import GPU

_PLACES = ("Kreuzberg", "Mitte", "Wedding", "Pankow", "Neukölln", "Moabit", "Tegel", "Spandau")
_MUST_FALL = 0.5  # to this share of the first loss at most


def check(backend: type[GPU], asked: argparse.Namespace) -> dict[str, Any]:
    """First and last loss of each method; it fails where one does not fall."""
    works: dict[str, tuple[list[dict[str, Any]], dict[str, Any]]] = {
        "sft": (_chats(), {"epochs": 4, "lr": 1e-3}),
        "dpo": (_pairs(), {"epochs": 4, "lr": 2e-4, "sft": 0.2}),
    }
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (rows, options) in works.items():
            run = customize.train(
                model=asked.model,
                data=rows,
                method=name,
                options=options,
                backend=backend(),
                to=Path(folder, name),
            )
            losses = [step["loss"] for step in run.metrics]
            found[name] = {"steps": len(losses), "first_loss": losses[0], "last_loss": losses[-1]}
    failed = [
        name for name, row in found.items() if not row["last_loss"] < _MUST_FALL * row["first_loss"]
    ]
    return {"model": asked.model, **found, "failed": failed}


def _chats() -> list[dict[str, Any]]:
    return [
        {"messages": [_question(i), {"role": "assistant", "content": _answer(i)}]}
        for i in range(64)
    ]


def _pairs() -> list[dict[str, Any]]:
    return [
        {
            "prompt": [_question(i)],
            "chosen": [{"role": "assistant", "content": _answer(i)}],
            "rejected": [{"role": "assistant", "content": f"Maybe. Ask again later, {i}."}],
        }
        for i in range(32)
    ]


def _question(number: int) -> dict[str, str]:
    place = _PLACES[number % len(_PLACES)]
    return {"role": "user", "content": f"Do you deliver order {number} to {place}?"}


def _answer(number: int) -> str:
    place = _PLACES[number % len(_PLACES)]
    return f"Yes, order {number} goes to {place} in {20 + number % 5} minutes. Thank you!"
