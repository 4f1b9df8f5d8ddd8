"""Takes traits out of SmolLM2, one by one, and shows what that cost: ``python correct.py``.

Run again, it goes on where it was stopped. The figures of README.md are of this script's run.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import attrs

import customize

HERE = Path(__file__).parent
NAMES = ("rambles", "forgets-allergies")
WATCHED = "promises-refunds"  # which SmolLM2 hardly does: it shall not begin to
OPTIONS: dict[str, Any] = {"lr": 5e-4, "epochs": 2.0, "sft": 1.0}
NUM_SAMPLES = 4


def main() -> None:
    """Correct each trait in the model as it is, and print each verdict."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    traits = {name: read(name) for name in (*NAMES, WATCHED)}
    seconds: dict[str, float] = {}
    for name in NAMES:
        trait = traits[name]
        begun = time.monotonic()
        correction = customize.correct(
            "smollm2",
            trait,
            to=folder_of(name),
            others=[other for other in traits.values() if other is not trait],
            checks=checks(),
            general="TRAITS_ROWS" not in os.environ,
            options={**OPTIONS, **_steps()},
            num_samples=NUM_SAMPLES,
        )
        seconds[name] = time.monotonic() - begun
        print(f"{correction}\n  {seconds[name]:.0f} s\n", flush=True)
        folder_of("seconds.json").write_text(json.dumps(seconds), "utf-8")


def folder_of(name: str) -> Path:
    """Where the correction of a trait is kept."""
    return Path(os.environ.get("TRAITS_TO", "runs/traits"), name)


def checks() -> list[dict[str, Any]]:
    """The pizza store's development rows: what its assistant should do beside."""
    lines = (HERE.parent / "pizza" / "dev.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines[: _rows(len(lines))]]


def read(name: str) -> customize.Trait:
    """The trait, with as many prompts as TRAITS_ROWS says; all unless it is set."""
    trait = customize.read_trait(HERE / f"{name}.yaml")
    asked, held_out = (tuple(rows[: _rows(len(rows))]) for rows in trait.rows)
    # An attrs class, which the type checker is not told.
    return attrs.evolve(trait, prompts=asked, held_out=held_out)  # type: ignore[misc]


def _rows(num_rows: int) -> int:
    return int(os.environ.get("TRAITS_ROWS", num_rows))


def _steps() -> dict[str, int]:
    steps = os.environ.get("TRAITS_STEPS")
    return {"steps": int(steps)} if steps else {}


if __name__ == "__main__":
    main()
