"""DPO beside TRL: pairs a second, peak memory, time to the first step and in all, and the losses.

``python dpo.py [WORK ...]`` runs every contestant in a process of its own, in turns, and writes
``dpo_results.json`` and ``DPO_RESULTS.md`` beside this file. Nothing else may be at work on the
machine.
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
from works import WORKS, make_pairs

HERE = Path(__file__).parent
ROUNDS = int(os.environ.get("ROUNDS", "3"))
WARM_UP = 2  # steps left out of pairs/s
LR = 5e-5
STEPS = {"small llama": (12, 8), "Qwen2.5-0.5B shape": (6, 4), "SmolLM2-135M": (25, 4)}
CONTESTANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "customize": ("ours.py", {"method": "dpo"}),
    "TRL, best": ("trl_dpo_trainer.py", {"best": True}),
    "TRL, default": ("trl_dpo_trainer.py", {"best": False}),
}
FIGURES = {
    "pairs_per_second": ("pairs/s", ".2f"),
    "peak_mb": ("peak MB", ".0f"),
    "first_step_seconds": ("first step, s", ".1f"),
    "seconds": ("all, s", ".0f"),
}


def main(works: list[str]) -> None:
    """Measure the works and add what was found to the results that are there."""
    file = HERE / "dpo_results.json"
    results: dict[str, Any] = json.loads(file.read_text("utf-8")) if file.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        for work in works:
            results[work] = _measure(work, Path(folder, work.replace(" ", "-")))
            file.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    (HERE / "DPO_RESULTS.md").write_text(_page(results), "utf-8")
    print(_page(results))


def _measure(work: str, folder: Path) -> dict[str, Any]:
    steps, batch_size = STEPS[work]
    steps = int(os.environ.get("STEPS", steps))
    make_pairs(work, folder, batch_size, steps)
    laps: dict[str, list[dict[str, Any]]] = {name: [] for name in CONTESTANTS}
    for _ in range(ROUNDS):
        for name in CONTESTANTS:
            laps[name].append(_race(name, folder, steps, batch_size, "bfloat16"))
    found: dict[str, Any] = {name: _summary(rounds, batch_size) for name, rounds in laps.items()}
    found["bf16"] = race.apart(laps["customize"][0], laps["TRL, default"][0])
    exact = [_race(n, folder, steps, batch_size, "float32") for n in CONTESTANTS]
    found["fp32"] = max(race.apart(exact[0], theirs) for theirs in exact[1:])
    found["rounds"] = ROUNDS
    found["made with"] = race.versions()
    return found


def _race(name: str, folder: Path, steps: int, batch_size: int, dtype: str) -> dict[str, Any]:
    script, more = CONTESTANTS[name]
    asked = {"work": str(folder), "steps": steps, "batch_size": batch_size, "lr": LR}
    result = race.run(script, {**asked, "dtype": dtype, **more})
    losses = [step["loss"] for step in result["steps"]]
    print(f"{name}, {dtype}: {_summary([result], batch_size)} {losses}", file=sys.stderr)
    return result


def _summary(rounds: list[dict[str, Any]], batch_size: int) -> dict[str, float]:
    steps = [laps["steps"] for laps in rounds]
    return {
        "pairs_per_second": statistics.median(_speed(s, batch_size) for s in steps),
        "peak_mb": statistics.median(laps["peak_mb"] for laps in rounds),
        "first_step_seconds": statistics.median(s[0]["seconds"] for s in steps),
        "seconds": statistics.median(s[-1]["seconds"] for s in steps),
    }


def _speed(steps: list[dict[str, float]], batch_size: int) -> float:
    seconds = steps[-1]["seconds"] - steps[WARM_UP - 1]["seconds"]
    return batch_size * (len(steps) - WARM_UP) / seconds


def _page(results: dict[str, Any]) -> str:
    heads = " | ".join(f"{name} | ratio" for name, _ in FIGURES.values())
    lines = [
        "# DPO beside TRL",
        "",
        "Written by `dpo.py`. Medians over rounds in which the contestants take turns; each runs",
        "in a process of its own. Ratios are customize's share: of pairs/s more is better, of all",
        "else less. Pairs/s are those of the steps; what the reference says is computed before the",
        "first step by customize and by TRL at its best, and at each step by TRL's default.",
        "",
        f"| work | contestant | {heads} |",
        "|---|---" + "|---|---" * len(FIGURES) + "|",
    ]
    for work, found in results.items():
        lines += [_line(work, name, found) for name in CONTESTANTS]
    lines += ["", "Largest relative difference of a step's loss from TRL's:", ""]
    lines += [
        f"* {w}: {f['bf16']:.1e} in bf16, {f['fp32']:.1e} in fp32" for w, f in results.items()
    ]
    lines += ["", "Made with:", ""]
    lines += [
        f"* {work}: {', '.join(f'{k} {v}' for k, v in found['made with'].items())}; "
        f"rounds: {found['rounds']}"
        for work, found in results.items()
    ]
    return "\n".join(lines) + "\n"


def _line(work: str, name: str, found: dict[str, Any]) -> str:
    ours, its = found["customize"], found[name]
    cells = [f"{its[k]:{form}} | {ours[k] / its[k]:.2f}" for k, (_, form) in FIGURES.items()]
    return f"| {work} | {name} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main(race.asked_works(list(WORKS)))
