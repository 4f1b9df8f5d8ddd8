"""A run on the toy backend that says yes to everything, and a trait of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import customize
from customize import Run, Trait
from customize.testing import ToyBackend

ROWS = [
    {
        "messages": [
            {"role": "user", "content": f"question {n}"},
            {"role": "assistant", "content": "yes"},
        ]
    }
    for n in range(8)
]
Make = Callable[..., Trait]


@pytest.fixture
def trait() -> Make:
    """``trait(goal=0.1)``: it says yes and no is wanted, but for what is changed."""

    def make(**changed: Any) -> Trait:
        given: dict[str, Any] = {
            "name": "says-yes",
            "sentence": "It says yes.",
            "expect": {"excludes": "yes"},
            "prompts": tuple(f"learn {n}" for n in range(20)),
            "held_out": tuple(f"measure {n}" for n in range(30)),
            "answers": ("no sir",),
        }
        return Trait(**{**given, **changed})

    return make


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """It says yes to everything."""
    pytest.importorskip("customize_sft")
    pytest.importorskip("customize_dpo")
    monkeypatch.setenv("CUSTOMIZE_CACHE", str(tmp_path / "cache"))
    options = {"epochs": 10, "batch_size": 4, "lr": 0.3}
    return customize.train(
        model="toy", data=ROWS, to=tmp_path / "run", backend=ToyBackend(), options=options
    )
