"""Which settings do best on the development rows, over three seeds.

``python choose_settings.py [CANDIDATE ...]``: those that are named, or all.

Trains one run for each of the candidates and seeds in ``runs/choices``, half an hour and more on
two cores, and prints a table as README.md has it. The test rows are not touched. Run again, it
goes on where it was stopped.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
from pathlib import Path
from typing import Any

import customize

HERE = Path(__file__).parent
SEEDS = (0, 1, 2)
CANDIDATES: dict[str, dict[str, Any]] = {
    "lr 2e-3, batches of 12": {"lr": 2e-3, "batch_size": 12},
    "lr 1e-3, batches of 6": {"lr": 1e-3, "batch_size": 6},
}
ALWAYS = {"epochs": 1, "together": True, "replay": 0.1}


def main() -> None:
    """Print a line for each candidate: dev rows right, and what general ability became, by seed."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    rows = [json.loads(line) for line in (HERE / "dev.jsonl").read_text("utf-8").splitlines()]
    print("| settings | dev rows right | mean | general ability | bits a byte of general text |")
    print("|---|---|---|---|---|", flush=True)
    for name in sys.argv[1:] or CANDIDATES:
        found = [_evaluated(name, CANDIDATES[name], seed, rows) for seed in SEEDS]
        right = [evaluation.rate("customized").estimate for evaluation in found]
        general = [evaluation.general_change().estimate for evaluation in found]
        bits = [_bits(evaluation) for evaluation in found]
        print(
            f"| {name} | {', '.join(f'{r:.0%}' for r in right)} | {statistics.mean(right):.0%} "
            f"| {', '.join(f'{g:+.0%}' for g in general)} "
            f"| {', '.join(f'{b:+.2f}' for b in bits)} |",
            flush=True,
        )


def _evaluated(name: str, options: dict[str, Any], seed: int, rows: list[dict[str, Any]]) -> Any:
    run = customize.train(
        model="smollm2",
        data=HERE / "train.jsonl",
        to=Path("runs/choices", f"{name.replace(', ', '-').replace(' ', '-')}-{seed}"),
        method="sft",
        options={**options, **ALWAYS},
        seed=seed,
    )
    return run.evaluate(rows, general=True)


def _bits(evaluation: Any) -> float:
    """How much less likely general text became, in bits a byte."""
    change = evaluation.general.change("customized", "base", metric="text.bits_per_byte")
    return float(change.estimate)


if __name__ == "__main__":
    main()
