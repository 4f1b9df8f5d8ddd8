"""GRPO beside TRL: seconds a step, tokens sampled, peak memory and time to the first step.

``python grpo.py [WORK ...]`` runs every contestant in a process of its own, in turns, and writes
``grpo_results.json`` and ``GRPO_RESULTS.md`` beside this file. Nothing else may be at work on the
machine. Samples are drawn by each side's own generator, so that no two say the same: what is
compared is that as many tokens were sampled.
"""

from __future__ import annotations

import os
from pathlib import Path

import race
from race import Contestant, Figure, Laps, Results
from works import make_prompts

WARM_UP = 1  # steps left out of seconds a step
# Steps, prompts a step, episodes a prompt, tokens of an episode at most.
WORKS = {"small llama": (6, 4, 8, 64), "SmolLM2-135M": (6, 4, 8, 64)}
LR = 5e-5
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
    steps, prompts, group_size, max_tokens = WORKS[work]
    steps = int(os.environ.get("STEPS", steps))
    make_prompts(work, folder, prompts, steps)
    asked = {
        "work": str(folder),
        "steps": steps,
        "prompts": prompts,
        "group_size": group_size,
        "max_tokens": max_tokens,
        "lr": LR,
        "dtype": "bfloat16",
    }
    return race.take_turns(CONTESTANTS, asked, _summary)[1]


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
        "prompts, judges them and trains on them. Ratios are customize's share: of tokens a step",
        "equal is fair, of all else less is better.",
        "",
        *race.table(results, CONTESTANTS, FIGURES),
        *race.made_with(results),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    race.hold(list(WORKS), measure, page, "grpo_")
