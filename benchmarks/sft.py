"""SFT beside TRL: tokens a second, peak memory, time to the first step, and the losses.

``python sft.py [WORK ...]`` runs every contestant in a process of its own, in turns, and writes
``results.json`` and ``RESULTS.md`` beside this file. Nothing else may be at work on the machine.
"""

from __future__ import annotations

import json
from pathlib import Path

import race
from race import Contestant, Figure, Laps, Results
from works import make

WARM_UP = 2  # steps left out of tokens/s
LR = 5e-4
# By name: the work, steps, rows a step, and whether its rows are of one length.
RACES = {
    "small llama": ("small llama", 12, 8, False),
    "Qwen2.5-0.5B shape": ("Qwen2.5-0.5B shape", 6, 8, False),
    "SmolLM2-135M": ("SmolLM2-135M", 12, 8, False),
    "SmolLM2-135M, rows alike": ("SmolLM2-135M", 12, 8, True),
}
CONTESTANTS = {
    "customize": Contestant("ours.py", {"method": "sft"}),
    "TRL, best": Contestant("trl_trainer.py", {"packed": True, "named": False}),
    "TRL, default": Contestant("trl_trainer.py", {"packed": False, "named": True}),
}
# The same rows a step as customize, and weights in the same precision: what losses are held to.
ALIKE = Contestant("trl_trainer.py", {"packed": False, "named": False})
FIGURES = (Figure("tokens_per_second", "tokens/s", ".0f"), race.PEAK, race.FIRST_STEP)


def measure(name: str, folder: Path) -> Results:
    """Train on the work in bf16, and once more in float32 to compare the losses."""
    work, steps, batch_size, alike = RACES[name]
    make(work, folder, batch_size, steps, alike)
    asked = {"work": str(folder), "steps": steps, "batch_size": batch_size, "lr": LR}
    laps, found = race.take_turns(CONTESTANTS, {**asked, "dtype": "bfloat16"}, _summary)
    exact = [race.run(c, {**asked, "dtype": "float32"}) for c in (CONTESTANTS["customize"], ALIKE)]
    rounded = race.run(ALIKE, {**asked, "dtype": "bfloat16"})
    found["fp32"] = race.apart(*exact)
    found["bf16"] = race.apart(laps["customize"][0], rounded)
    # What bf16 does to the losses by itself, in TRL's own hands.
    found["rounding"] = race.apart(rounded, exact[1])
    found["row tokens"] = _lengths(folder)
    return found


def _lengths(folder: Path) -> list[int]:
    """Tokens of the shortest row, the median and the longest."""
    lines = (folder / "tokens.jsonl").read_text("utf-8").splitlines()
    lengths = sorted(len(json.loads(line)["input_ids"]) for line in lines)
    return [lengths[0], lengths[len(lengths) // 2], lengths[-1]]


def _summary(laps: Laps) -> dict[str, float]:
    steps = laps["steps"]
    seconds = steps[-1]["seconds"] - steps[WARM_UP - 1]["seconds"]
    tokens = sum(step["tokens"] for step in steps[WARM_UP:])
    return {"tokens_per_second": tokens / seconds, **race.sizes(laps)}


def page(results: Results) -> str:
    """What was found, for people."""
    lines = [
        "# SFT beside TRL",
        "",
        "Written by `sft.py`. Medians over rounds in which the contestants take turns; each runs",
        "in a process of its own. Ratios are customize's share: of tokens/s more is better, of",
        "memory and of seconds to the first step less.",
        "",
        *race.table(results, CONTESTANTS, FIGURES),
        "",
        "Largest relative difference of a step's loss from TRL's on the same rows, and what",
        "rounding to bf16 changes in TRL's own:",
        "",
        *(
            f"* {w}: {f['fp32']:.1e} in fp32, {f['bf16']:.1e} in bf16; rounding {f['rounding']:.1e}"
            for w, f in results.items()
        ),
        "",
        "Rows:",
        "",
        *(f"* {w}: {_rows(*f['row tokens'])}" for w, f in results.items()),
        *race.made_with(results),
    ]
    return "\n".join(lines) + "\n"


def _rows(shortest: int, median: int, longest: int) -> str:
    return f"{shortest} to {longest} tokens, median {median}"


if __name__ == "__main__":
    race.hold(list(RACES), measure, page, "")
