"""``customize plan`` beside what happened: peak memory and seconds of runs on this machine.

``python plan.py`` trains each case in a process of its own and writes ``plan_results.json`` and
``PLAN_RESULTS.md`` beside this file. The first case tells how fast the machine is, and what it
holds beside what is counted; the others are held against what was planned with that alone. Nothing
else may be at work on the machine. ``python plan.py NAME…`` measures these cases alone, and prints
what it would write.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import race
from works import make

HERE = Path(__file__).parent
PIZZA = HERE.parent / "examples/pizza/pizza.yaml"
QUICKSTART = "the quickstart's run, evaluated"
# By name: the work, and rows a step; the quickstart has a recipe of its own.
CASES = {
    "SmolLM2-135M, 8 rows a step": ("SmolLM2-135M", 8),
    "SmolLM2-135M, 32 rows a step": ("SmolLM2-135M", 32),
    "small llama, 8 rows a step": ("small llama", 8),
    "small llama, 32 rows a step": ("small llama", 32),
    QUICKSTART: ("", 0),
}
STEPS = 8


def measure(name: str, folder: Path) -> dict[str, Any]:
    """Train, then let the plan be compared with the run."""
    if name == QUICKSTART:
        return _held_against([str(PIZZA), f"--set=to={folder / 'run'}", "--set=backend=cpu"])
    work, rows = CASES[name]
    make(work, folder, rows, STEPS)
    settings = {
        "model": str(folder / "model"),
        "data": str(folder / "rows.jsonl"),
        "to": str(folder / "run"),
        "backend": "cpu",
        "options.steps": STEPS,
        "options.batch_size": rows,
    }
    return _held_against([f"--set={key}={value}" for key, value in settings.items()])


def _held_against(given: list[str]) -> dict[str, Any]:
    _customize("train", *given)
    return dict(json.loads(_customize("plan", "--json", *given)))


def page(found: dict[str, dict[str, Any]]) -> str:
    """What was found, for people."""
    lines = [
        "# Plans beside what happened",
        "",
        "Written by `plan.py`. Training on the processor in the form of numbers that is fastest",
        "there: eight steps, and the whole run of the quickstart. Memory is that of training and",
        "evaluation: counted, and planned, which is what was counted as the first case has shown",
        "it to be held. The seconds are those of training, planned by how fast the first case was,",
        "which is therefore left out of them.",
        "",
        "| case | GB counted | GB planned | GB held | ratio | s planned | s taken | ratio |",
        "|---|---|---|---|---|---|---|---|",
        *(_line(name, plan) for name, plan in found.items()),
        "",
        f"Made on: {next(iter(found.values()))['machine']}",
        "",
        f"Made with: {race.told(race.versions(('torch', 'transformers')))}",
    ]
    return "\n".join(lines) + "\n"


def _line(name: str, plan: dict[str, Any]) -> str:
    counted, happened = sum(plan["memory"].values()) / 1e9, plan["happened"]
    planned, held = happened["planned_bytes"] / 1e9, happened["peak_bytes"] / 1e9
    seconds, took = happened["planned_s"], happened["seconds"]
    time = f"{seconds:.0f} | {took:.0f} | {seconds / took:.2f}" if seconds else f"| {took:.0f} |"
    memory = f"{counted:.2f} | {planned:.2f} | {held:.2f} | {planned / held:.2f}"
    return f"| {name} | {memory} | {time} |"


def _customize(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "customize", *arguments],
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"customize {arguments[0]} failed:\n{done.stderr[-3000:]}")
    return done.stdout


def main() -> None:
    """Measure all cases, or some, in a cache of its own: no run before these tells anything."""
    chosen = sys.argv[1:] or list(CASES)
    with tempfile.TemporaryDirectory() as place:
        os.environ["CUSTOMIZE_CACHE"] = str(Path(place, "cache"))
        found = {name: measure(name, Path(place, str(n))) for n, name in enumerate(chosen)}
    print(page(found))
    if sys.argv[1:]:
        return
    (HERE / "plan_results.json").write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    (HERE / "PLAN_RESULTS.md").write_text(page(found), "utf-8")


if __name__ == "__main__":
    main()
