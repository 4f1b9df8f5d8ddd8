"""A real model trained on the device, by SFT, DPO and GRPO."""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import customize
from customize_torch.gpu import GPU

_PLACES = ("Kreuzberg", "Mitte", "Wedding", "Pankow", "Neukölln", "Moabit", "Tegel", "Spandau")
_MUST_FALL = 0.5  # to this share of the first loss at most
_MUST_RISE = 0.1  # of rewards from 0 to 1
_ENOUGH, _TOO_MANY = 8, 40  # words
_ENDS = 3  # steps of sampling whose mean is compared


def brief(completion: str) -> float:
    """1 for a few words, falling to 0."""
    words = len(completion.split())
    return min(1.0, max(0.0, (_TOO_MANY - words) / (_TOO_MANY - _ENOUGH)))


_WORKS: dict[str, dict[str, Any]] = {
    "sft": {"epochs": 4, "lr": 1e-3},
    "dpo": {"epochs": 4, "lr": 2e-4, "sft": 0.2},
    "grpo": {"steps": 16, "batch_size": 8, "group_size": 8, "max_tokens": 64, "lr": 1e-4},
}


def check(backend: type[GPU], asked: argparse.Namespace) -> dict[str, Any]:
    """First and last loss or reward of each method; it fails where one does not improve."""
    rows = {
        "sft": _chats(),
        "dpo": _pairs(),
        "grpo": [{"prompt": [_question(i)]} for i in range(64)],
    }
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, options in _WORKS.items():
            run = customize.train(
                model=asked.model,
                data=rows[name],
                method=name,
                options=options,
                backend=backend(),
                to=Path(folder, name),
                reward=brief if name == "grpo" else None,
            )
            found[name] = _ends(run.metrics, "reward" if name == "grpo" else "loss")
    failed = [name for name, row in found.items() if not _is_better(row)]
    return {"model": asked.model, **found, "failed": failed}


def _ends(steps: Sequence[Mapping[str, Any]], of: str) -> dict[str, Any]:
    count = _ENDS if of == "reward" else 1
    first, last = (
        statistics.fmean(step[of] for step in some) for some in (steps[:count], steps[-count:])
    )
    return {"steps": len(steps), f"first_{of}": first, f"last_{of}": last}


def _is_better(row: Mapping[str, Any]) -> bool:
    """Written so that a NaN is not."""
    if "last_reward" in row:
        return bool(row["last_reward"] >= row["first_reward"] + _MUST_RISE)
    return bool(row["last_loss"] < _MUST_FALL * row["first_loss"])


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
