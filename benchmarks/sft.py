"""SFT beside TRL: tokens a second, peak memory, time to the first step, and the losses.

``python sft.py [WORK ...]`` runs every contestant in a process of its own, in turns, and writes
``results.json`` and ``RESULTS.md`` beside this file. Nothing else may be at work on the machine.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import race
from race import Contestant, Figure, Laps, Results
from works import make

WARM_UP = 2  # steps left out of tokens/s
LR = 5e-4


class Weighed(NamedTuple):
    """Steps of so many rows, of one length or not, of which the losses are compared."""

    steps: int
    rows: int
    alike: bool


class Race(NamedTuple):
    """A work, steps of so many rows, of one length or not, and what losses are compared on.

    SmolLM2's are compared over many rows a step too: what bf16 rounds off of a token is not gone
    from a mean over few of them.
    """

    work: str
    steps: int
    rows: int
    alike: bool
    weighed: tuple[Weighed, ...]


FEW, MANY = Weighed(12, 8, False), Weighed(4, 64, True)
RACES = {
    "small llama": Race("small llama", 12, 8, False, (FEW,)),
    "Qwen2.5-0.5B shape": Race("Qwen2.5-0.5B shape", 6, 8, False, (Weighed(6, 8, False),)),
    "SmolLM2-135M": Race("SmolLM2-135M", 12, 8, False, (FEW, MANY)),
    "SmolLM2-135M, rows alike": Race("SmolLM2-135M", 12, 8, True, (FEW, MANY)),
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
    """Train on the work in bf16, and in float32 too where the losses are compared."""
    held = RACES[name]
    make(held.work, folder, held.rows, held.steps, held.alike)
    asked = _asked(folder, held.steps, held.rows)
    _, found = race.take_turns(CONTESTANTS, {**asked, "dtype": "bfloat16"}, _summary)
    found["row tokens"] = _lengths(folder)
    beside = folder.with_name(f"{folder.name}-weighed")
    found["losses"] = [
        losses(held.work, one, beside / str(number)) for number, one in enumerate(held.weighed)
    ]
    return found


def losses(work: str, weighed: Weighed, folder: Path) -> Results:
    """How far the losses of both are apart, in each precision."""
    steps, rows, alike = weighed
    make(work, folder, rows, steps, alike)
    asked = _asked(folder, steps, rows)
    ours, theirs = (
        {dtype: race.run(one, {**asked, "dtype": dtype}) for dtype in ("float32", "bfloat16")}
        for one in (CONTESTANTS["customize"], ALIKE)
    )
    return {
        **weighed._asdict(),
        "fp32": race.apart(ours["float32"], theirs["float32"]),
        "bf16": race.apart(ours["bfloat16"], theirs["bfloat16"]),
        # What bf16 does to the losses by itself, in TRL's own hands.
        "rounding": race.apart(theirs["bfloat16"], theirs["float32"]),
    }


def _asked(folder: Path, steps: int, rows: int) -> dict[str, Any]:
    return {"work": str(folder), "steps": steps, "batch_size": rows, "lr": LR}


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
        "rounding to bf16 changes in TRL's own. Aimed at are 1e-3 in bf16 and 1e-5 in fp32. What",
        "bf16 rounds off of a token is not gone from the mean over the few that 8 rows train on,",
        "in TRL's loss as little as in ours; in bf16 the mean over many is what can be held:",
        "",
        *(f"* {w}, {_apart(one)}" for w, f in results.items() for one in f["losses"]),
        "",
        "Rows:",
        "",
        *(f"* {w}: {_rows(*f['row tokens'])}" for w, f in results.items()),
        *race.made_with(results),
    ]
    return "\n".join(lines) + "\n"


def _apart(found: Results) -> str:
    length = " of one length" if found["alike"] else ""
    return (
        f"{found['steps']} steps of {found['rows']} rows{length}: {found['fp32']:.1e} in fp32, "
        f"{found['bf16']:.1e} in bf16; rounding {found['rounding']:.1e}"
    )


def _rows(shortest: int, median: int, longest: int) -> str:
    return f"{shortest} to {longest} tokens, median {median}"


if __name__ == "__main__":
    race.hold(list(RACES), measure, page, "")
