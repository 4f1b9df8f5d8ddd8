"""SFT beside TRL: tokens a second, peak memory, time to the first step, and the losses.

``python sft.py [WORK ...]`` runs every contestant in a process of its own, in turns, and writes
``results.json`` and ``RESULTS.md`` beside this file. Nothing else may be at work on the machine.
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
from works import make

HERE = Path(__file__).parent
ROUNDS = int(os.environ.get("ROUNDS", "3"))
WARM_UP = 2  # steps left out of tokens/s
LR = 5e-4
# By name: the work, steps, rows a step, and whether its rows are of one length.
RACES = {
    "small llama": ("small llama", 12, 8, False),
    "Qwen2.5-0.5B shape": ("Qwen2.5-0.5B shape", 6, 8, False),
    "SmolLM2-135M": ("SmolLM2-135M", 12, 8, False),
    "SmolLM2-135M, rows alike": ("SmolLM2-135M", 12, 8, True),
}
CONTESTANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "customize": ("ours.py", {"method": "sft"}),
    "TRL, best": ("trl_trainer.py", {"packed": True}),
    "TRL, default": ("trl_trainer.py", {"packed": False}),
}


def main(names: list[str]) -> None:
    """Measure the works and add what was found to the results that are there."""
    file = HERE / "results.json"
    results: dict[str, Any] = json.loads(file.read_text("utf-8")) if file.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            results[name] = _measure(*RACES[name], Path(folder, name.replace(" ", "-")))
            file.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    (HERE / "RESULTS.md").write_text(_page(results), "utf-8")
    print(_page(results))


def _measure(work: str, steps: int, batch_size: int, alike: bool, folder: Path) -> dict[str, Any]:
    make(work, folder, batch_size, steps, alike)
    laps: dict[str, list[dict[str, Any]]] = {name: [] for name in CONTESTANTS}
    for _ in range(ROUNDS):
        for name in CONTESTANTS:
            laps[name].append(_race(name, folder, steps, batch_size, "bfloat16"))
    found: dict[str, Any] = {name: _summary(rounds) for name, rounds in laps.items()}
    found["bf16"] = race.apart(laps["customize"][0], laps["TRL, default"][0])
    exact = [_race(n, folder, steps, batch_size, "float32") for n in ("customize", "TRL, default")]
    found["fp32"] = race.apart(*exact)
    # Before anything was trained: what bf16 does to the loss by itself, in TRL's own hands.
    rounded, whole = (lap["steps"][0]["loss"] for lap in (laps["TRL, default"][0], exact[1]))
    found["rounding"] = abs(rounded - whole) / whole
    found["row tokens"] = _lengths(folder)
    found["rounds"] = ROUNDS
    found["made with"] = race.versions()
    return found


def _lengths(folder: Path) -> list[int]:
    """Tokens of the shortest row, the median and the longest."""
    lines = (folder / "tokens.jsonl").read_text("utf-8").splitlines()
    lengths = sorted(len(json.loads(line)["input_ids"]) for line in lines)
    return [lengths[0], lengths[len(lengths) // 2], lengths[-1]]


def _race(name: str, folder: Path, steps: int, batch_size: int, dtype: str) -> dict[str, Any]:
    script, more = CONTESTANTS[name]
    asked = {"work": str(folder), "steps": steps, "batch_size": batch_size, "lr": LR}
    result = race.run(script, {**asked, "dtype": dtype, **more})
    print(f"{name}, {dtype}: {_summary([result])}", file=sys.stderr, flush=True)
    return result


def _summary(rounds: list[dict[str, Any]]) -> dict[str, float]:
    return {
        "tokens_per_second": statistics.median(_speed(laps["steps"]) for laps in rounds),
        "peak_mb": statistics.median(laps["peak_mb"] for laps in rounds),
        "first_step_seconds": statistics.median(laps["steps"][0]["seconds"] for laps in rounds),
    }


def _speed(steps: list[dict[str, float]]) -> float:
    seconds = steps[-1]["seconds"] - steps[WARM_UP - 1]["seconds"]
    return float(sum(step["tokens"] for step in steps[WARM_UP:]) / seconds)


def _page(results: dict[str, Any]) -> str:
    lines = [
        "# SFT beside TRL",
        "",
        "Written by `sft.py`. Medians over rounds in which the contestants take turns; each runs",
        "in a process of its own. Ratios are customize's share: of tokens/s more is better, of",
        "memory and of seconds to the first step less.",
        "",
        "| work | contestant | tokens/s | ratio | peak MB | ratio | first step, s | ratio |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for work, found in results.items():
        lines += [_line(work, name, found) for name in CONTESTANTS]
    lines += [
        "",
        "Largest relative difference of a step's loss from TRL's default, and what rounding to",
        "bf16 changes in TRL's own first loss:",
        "",
    ]
    lines += [
        f"* {w}: {f['fp32']:.1e} in fp32, {f['bf16']:.1e} in bf16; rounding {f['rounding']:.1e}"
        for w, f in results.items()
    ]
    lines += ["", "Made with:", ""]
    lines += [f"* {work}: {_made(found)}" for work, found in results.items()]
    return "\n".join(lines) + "\n"


def _line(work: str, name: str, found: dict[str, Any]) -> str:
    ours, its = found["customize"], found[name]
    keys = (("tokens_per_second", ".0f"), ("peak_mb", ".0f"), ("first_step_seconds", ".1f"))
    cells = [f"{its[key]:{form}} | {ours[key] / its[key]:.2f}" for key, form in keys]
    return f"| {work} | {name} | {' | '.join(cells)} |"


def _made(found: dict[str, Any]) -> str:
    made = ", ".join(f"{name} {value}" for name, value in found["made with"].items())
    shortest, median, longest = found["row tokens"]
    rows = f"rows of {shortest} to {longest} tokens, median {median}"
    return f"{rows}; {made}; rounds: {found['rounds']}"


if __name__ == "__main__":
    main(race.asked_works(list(RACES)))
