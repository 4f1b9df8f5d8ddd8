"""DPO beside TRL: pairs a second, peak memory, time to the first step and in all, and the losses.

``python dpo.py [WORK ...]`` runs every contestant in a process of its own, in turns, and writes
``dpo_results.json`` and ``DPO_RESULTS.md`` beside this file. Nothing else may be at work on the
machine.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import race
from race import Contestant, Figure, Laps, Results
from works import WORKS, make_pairs

WARM_UP = 2  # steps left out of pairs/s
COMPARED = 6  # steps whose losses are compared in float32, where that is not what is raced
LR = 5e-5
STEPS = {"small llama": (12, 8), "Qwen2.5-0.5B shape": (6, 4), "SmolLM2-135M": (25, 4)}
CONTESTANTS = {
    "customize": Contestant("ours.py", {"method": "dpo"}),
    "TRL, best": Contestant("trl_dpo_trainer.py", {"best": True}),
    "TRL, default": Contestant("trl_dpo_trainer.py", {"best": False}),
}
FIGURES = (
    Figure("pairs_per_second", "pairs/s", ".2f"),
    race.PEAK,
    race.FIRST_STEP,
    Figure("seconds", "all, s", ".0f"),
)


def measure(work: str, folder: Path) -> Results:
    """Train on the work in the processor's precision, and in float32 to compare the losses."""
    steps, batch_size = STEPS[work]
    steps = int(os.environ.get("STEPS", steps))
    make_pairs(work, folder, batch_size, steps)
    asked = {"work": str(folder), "steps": steps, "batch_size": batch_size, "lr": LR}
    precision = race.precision()
    laps, found = race.take_turns(
        CONTESTANTS, {**asked, "dtype": precision}, partial(_summary, batch_size)
    )
    found["made with"]["precision"] = precision
    ours, *theirs = (laps[name][0] for name in CONTESTANTS)
    if precision != "float32":
        found["bf16"] = race.apart(ours, theirs[-1])
        few = {**asked, "dtype": "float32", "steps": min(steps, COMPARED)}
        ours, *theirs = (race.run(contestant, few) for contestant in CONTESTANTS.values())
    found["fp32"] = max(race.apart(ours, each) for each in theirs)
    return found


def _summary(batch_size: int, laps: Laps) -> dict[str, float]:
    steps = laps["steps"]
    seconds = steps[-1]["seconds"] - steps[WARM_UP - 1]["seconds"]
    return {
        "pairs_per_second": batch_size * (len(steps) - WARM_UP) / seconds,
        "seconds": steps[-1]["seconds"],
        **race.sizes(laps),
    }


def page(results: Results) -> str:
    """What was found, for people."""
    lines = [
        "# DPO beside TRL",
        "",
        "Written by `dpo.py`. Medians over rounds in which the contestants take turns; each runs",
        "in a process of its own. Ratios are customize's share: of pairs/s more is better, of all",
        "else less. Pairs/s are those of the steps; what the reference says is computed before the",
        "first step by customize and by TRL at its best, and at each step by TRL's default. All",
        "train in bfloat16 where the processor has instructions for it, else in float32.",
        "",
        *race.table(results, CONTESTANTS, FIGURES),
        "",
        "Largest relative difference of a step's loss from TRL's:",
        "",
        *(f"* {work}: {_apart(found)}" for work, found in results.items()),
        *race.made_with(results),
    ]
    return "\n".join(lines) + "\n"


def _apart(found: Results) -> str:
    return ", ".join(f"{found[form]:.1e} in {form}" for form in ("bf16", "fp32") if form in found)


if __name__ == "__main__":
    race.hold(list(WORKS), measure, page, "dpo_")
