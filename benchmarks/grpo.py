"""GRPO beside TRL: seconds a step, tokens sampled, peak memory and time to the first step.

``python grpo.py [WORK ...]`` runs every contestant in a process of its own, in turns, and writes
``grpo_results.json`` and ``GRPO_RESULTS.md`` beside this file. Nothing else may be at work on the
machine. Samples are drawn by each side's own generator, so that no two say the same: what is
compared is that as many tokens were sampled. Works on a GPU are left out where there is none.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import race
import torch
from race import Contestant, Figure, Laps, Results
from works import make_prompts

WARM_UP = 1  # steps left out of seconds a step
LR = 5e-5


class Work(NamedTuple):
    """A step samples ``group_size`` episodes of at most ``max_tokens`` for each of its prompts."""

    model: str
    steps: int
    prompts: int
    group_size: int
    max_tokens: int
    device: str = "cpu"


WORKS = {
    "small llama": Work("small llama", 6, 4, 8, 64),
    "SmolLM2-135M": Work("SmolLM2-135M", 6, 4, 8, 64),
    "Qwen2.5-0.5B shape on a GPU": Work("Qwen2.5-0.5B shape", 6, 8, 8, 256, "cuda"),
}
CONTESTANTS = {
    "customize": Contestant("ours_grpo.py", {}),
    "TRL, best": Contestant("trl_grpo_trainer.py", {"best": True}),
    "TRL, default": Contestant("trl_grpo_trainer.py", {"best": False}),
}
FIGURES = (
    Figure("tokens_a_step", "tokens a step", ".0f"),
    Figure("seconds_a_step", "s a step", ".2f"),
    Figure("seconds_a_thousand_tokens", "s a 1,000 tokens", ".2f"),
    race.PEAK,
    race.FIRST_STEP,
)


def measure(work: str, folder: Path) -> Results:
    """Sample, judge and train on the work."""
    given = WORKS[work]
    steps = int(os.environ.get("STEPS", given.steps))
    make_prompts(given.model, folder, given.prompts, steps)
    precision = "bfloat16" if given.device == "cuda" else race.precision()
    asked = {**given._asdict(), "work": str(folder), "steps": steps, "lr": LR, "dtype": precision}
    del asked["model"]
    found = race.take_turns(CONTESTANTS, asked, _summary)[1]
    found["made with"]["precision"] = precision
    if given.device == "cuda":
        found["made with"]["GPU"] = torch.cuda.get_device_name()
    return found


def _summary(laps: Laps) -> dict[str, float]:
    steps = laps["steps"]
    seconds = steps[-1]["seconds"] - steps[WARM_UP - 1]["seconds"]
    tokens = sum(lap["tokens"] for lap in steps[WARM_UP:])
    return {
        "seconds_a_step": seconds / (len(steps) - WARM_UP),
        "seconds_a_thousand_tokens": 1000 * seconds / tokens,
        "tokens_a_step": tokens / (len(steps) - WARM_UP),
        **race.sizes(laps),
    }


def page(results: Results) -> str:
    """What was found, for people."""
    lines = [
        "# GRPO beside TRL",
        "",
        "Written by `grpo.py`. Medians over rounds in which the contestants take turns; each runs",
        "in a process of its own. A step samples 8 episodes of at most 64 tokens for each of 4",
        "prompts, on a GPU of 256 for each of 8, judges them and trains on them. Ratios are",
        "customize's share: of tokens a step equal is fair, of all else less is better. All work",
        "in bfloat16 where the processor has instructions for it, else in float32.",
        "",
        *race.table(results, CONTESTANTS, FIGURES),
        *race.made_with(results),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    here = [name for name, w in WORKS.items() if w.device == "cpu" or torch.cuda.is_available()]
    race.hold(here, measure, page, "grpo_")
