"""GRPO beside TRL: seconds a step, tokens sampled, peak memory and time to the first step.

``python grpo.py [WORK ...]`` runs every contestant in a process of its own, in turns, and writes
``grpo_results.json`` and ``GRPO_RESULTS.md`` beside this file. Nothing else may be at work on the
machine. Samples are drawn by each side's own generator, so that no two say the same: what is
compared is that as many tokens were sampled.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import race
from works import make_prompts

HERE = Path(__file__).parent
ROUNDS = int(os.environ.get("ROUNDS", "3"))
WARM_UP = 1  # steps left out of seconds a step
# Steps, prompts a step, episodes a prompt, tokens of an episode at most.
WORKS = {"small llama": (6, 4, 8, 64), "SmolLM2-135M": (6, 4, 8, 64)}
LR = 5e-5
CONTESTANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "customize": ("ours_grpo.py", {}),
    "TRL, best": ("trl_grpo_trainer.py", {"best": True}),
    "TRL, default": ("trl_grpo_trainer.py", {"best": False}),
}
FIGURES = {
    "seconds_a_step": ("s a step", ".2f"),
    "seconds_a_thousand_tokens": ("s a 1,000 tokens", ".2f"),
    "peak_mb": ("peak MB", ".0f"),
    "first_step_seconds": ("first step, s", ".1f"),
}


def main(works: list[str]) -> None:
    """Measure the works and add what was found to the results that are there."""
    file = HERE / "grpo_results.json"
    results: dict[str, Any] = json.loads(file.read_text("utf-8")) if file.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        for work in works:
            results[work] = _measure(work, Path(folder, work.replace(" ", "-")))
            file.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    (HERE / "GRPO_RESULTS.md").write_text(_page(results), "utf-8")
    print(_page(results))


def _measure(work: str, folder: Path) -> dict[str, Any]:
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
    laps: dict[str, list[dict[str, Any]]] = {name: [] for name in CONTESTANTS}
    for _ in range(ROUNDS):
        for name, (script, more) in CONTESTANTS.items():
            laps[name].append(race.run(script, {**asked, **more}))
            print(f"{name}: {_summary(laps[name][-1:])}", file=sys.stderr, flush=True)
    found: dict[str, Any] = {name: _summary(rounds) for name, rounds in laps.items()}
    return {**found, "rounds": ROUNDS, "made with": race.versions()}


def _summary(rounds: list[dict[str, Any]]) -> dict[str, float]:
    steps = [laps["steps"] for laps in rounds]
    seconds = [s[-1]["seconds"] - s[WARM_UP - 1]["seconds"] for s in steps]
    tokens = [sum(lap["tokens"] for lap in s[WARM_UP:]) for s in steps]
    each = zip(seconds, steps, strict=True)
    return {
        "seconds_a_step": statistics.median(t / (len(s) - WARM_UP) for t, s in each),
        "seconds_a_thousand_tokens": statistics.median(
            1000 * t / n for t, n in zip(seconds, tokens, strict=True)
        ),
        "tokens_a_step": statistics.median(tokens) / (len(steps[0]) - WARM_UP),
        "peak_mb": statistics.median(laps["peak_mb"] for laps in rounds),
        "first_step_seconds": statistics.median(s[0]["seconds"] for s in steps),
    }


def _page(results: dict[str, Any]) -> str:
    heads = " | ".join(f"{name} | ratio" for name, _ in FIGURES.values())
    lines = [
        "# GRPO beside TRL",
        "",
        "Written by `grpo.py`. Medians over rounds in which the contestants take turns; each runs",
        "in a process of its own. A step samples 8 episodes of at most 64 tokens for each of 4",
        "prompts, judges them and trains on them. Ratios are TRL's figure over customize's: how",
        "many times as long, or as much.",
        "",
        f"| work | contestant | tokens a step | {heads} |",
        "|---|---|---" + "|---|---" * len(FIGURES) + "|",
    ]
    for work, found in results.items():
        lines += [_line(work, name, found) for name in CONTESTANTS]
    lines += ["", "Made with:", ""]
    lines += [
        f"* {work}: {', '.join(f'{k} {v}' for k, v in found['made with'].items())}; "
        f"rounds: {found['rounds']}"
        for work, found in results.items()
    ]
    return "\n".join(lines) + "\n"


def _line(work: str, name: str, found: dict[str, Any]) -> str:
    ours, its = found["customize"], found[name]
    cells = [f"{its[k]:{form}} | {its[k] / ours[k]:.2f}" for k, (_, form) in FIGURES.items()]
    return f"| {work} | {name} | {its['tokens_a_step']:.0f} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main(race.asked_works(list(WORKS)))
