"""What races have in common: a process for each contestant, in turns, and a page of what was found.

Results are kept by work: for each contestant its figures, and beside them ``rounds`` and
``made with``.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
ROUNDS = int(os.environ.get("ROUNDS", "3"))

# What a contestant says of itself: seconds, size and loss of each step, and peak memory.
Laps = dict[str, Any]
Results = dict[str, Any]


class Figure(NamedTuple):
    """One column: its key in the results, its head and the format of its values."""

    key: str
    head: str
    form: str


PEAK = Figure("peak_mb", "peak MB", ".0f")
FIRST_STEP = Figure("first_step_seconds", "first step, s", ".1f")


class Contestant(NamedTuple):
    """A script of ``contestants/``, and what it is asked beside the work."""

    script: str
    more: dict[str, Any]


def run(contestant: Contestant, asked: Mapping[str, Any]) -> Laps:
    """Let one contestant do the work in a process of its own."""
    script = contestant.script
    given = json.dumps({**asked, **contestant.more})
    done = subprocess.run(
        [sys.executable, str(HERE / "contestants" / script), given],
        env={**os.environ, "BENCHMARK_START": str(time.time()), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{script} failed:\n{done.stderr[-3000:]}")
    result: Laps = json.loads(done.stdout.splitlines()[-1])
    return result


def take_turns(
    contestants: Mapping[str, Contestant],
    asked: Mapping[str, Any],
    summary: Callable[[Laps], dict[str, float]],
    packages: Sequence[str] = ("torch", "transformers", "peft", "trl"),
) -> tuple[dict[str, list[Laps]], Results]:
    """Every contestant's laps, and the medians of its figures over the rounds."""
    laps: dict[str, list[Laps]] = {name: [] for name in contestants}
    for _ in range(ROUNDS):
        for name, contestant in contestants.items():
            laps[name].append(run(contestant, asked))
            print(f"{name}: {summary(laps[name][-1])}", file=sys.stderr, flush=True)
    found: Results = {name: _medians(map(summary, rounds)) for name, rounds in laps.items()}
    return laps, {**found, "rounds": ROUNDS, "made with": versions(packages)}


def _medians(rounds: Any) -> dict[str, float]:
    each = list(rounds)
    return {key: statistics.median(figures[key] for figures in each) for key in each[0]}


def sizes(laps: Laps) -> dict[str, float]:
    """What every race looks at: peak memory, and seconds from the command to the first step."""
    return {"peak_mb": laps["peak_mb"], "first_step_seconds": laps["steps"][0]["seconds"]}


def apart(ours: Laps, theirs: Laps) -> float:
    """The largest relative difference of the losses, step by step."""
    pairs = zip(ours["steps"], theirs["steps"], strict=True)
    return max(float(abs(a["loss"] - b["loss"]) / abs(b["loss"])) for a, b in pairs)


def versions(packages: Sequence[str]) -> dict[str, str]:
    """What the figures depend on."""
    found = {name: version(name) for name in packages}
    more = {"python": platform.python_version(), "cores": str(os.cpu_count())}
    return {**found, **more, "processor": processor()}


def processor() -> str:
    """Its name, and whether it has instructions for bfloat16, which the name does not tell."""
    has = "with" if precision() == "bfloat16" else "without"
    return f"{_cpuinfo()['model name']} {has} bfloat16"


def precision() -> str:
    """The form of numbers in which both sides are fastest on this processor."""
    has = not {"amx_bf16", "avx512_bf16"}.isdisjoint(_cpuinfo()["flags"].split())
    return "bfloat16" if has else "float32"


def _cpuinfo() -> dict[str, str]:
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    return {key.strip(): value.strip() for key, _, value in (li.partition(":") for li in lines)}


def told(made: Mapping[str, str]) -> str:
    """Versions as a page says them."""
    return ", ".join(f"{name} {value}" for name, value in made.items())


def hold(
    known: Sequence[str],
    measure: Callable[[str, Path], Results],
    page: Callable[[Results], str],
    stem: str,
) -> None:
    """Measure the works named on the command line, or all, and add them to what is there.

    ``stem``results.json has the figures, and ``STEM``RESULTS.md ``page`` of them.
    """
    unknown = set(sys.argv[1:]) - set(known)
    if unknown:
        raise SystemExit(f"unknown work {sorted(unknown)}; there are {list(known)}")
    file = HERE / f"{stem}results.json"
    results: Results = json.loads(file.read_text("utf-8")) if file.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        for work in sys.argv[1:] or known:
            found = measure(work, Path(folder, work.replace(" ", "-")))
            # Beside what another processor gave in bfloat16.
            is_single = found["made with"].get("precision") == "float32"
            results[f"{work} in float32" if is_single else work] = found
            file.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    (HERE / f"{stem.upper()}RESULTS.md").write_text(page(results), "utf-8")
    print(page(results))


def table(
    results: Results, contestants: Mapping[str, Contestant], figures: Sequence[Figure]
) -> list[str]:
    """A line for each work and contestant: its figures, and customize's share of them."""
    heads = " | ".join(f"{figure.head} | ratio" for figure in figures)
    lines = [f"| work | contestant | {heads} |", "|---|---" + "|---|---" * len(figures) + "|"]
    for work, found in results.items():
        ours = found["customize"]
        for name in contestants:
            its = found[name]
            cells = [_cells(its, ours, figure) for figure in figures]
            lines.append(f"| {work} | {name} | {' | '.join(cells)} |")
    return lines


def _cells(its: Mapping[str, float], ours: Mapping[str, float], figure: Figure) -> str:
    """A figure and customize's share of it, where it was measured."""
    if figure.key not in its:
        return "– | –"
    value = its[figure.key]
    return f"{value:{figure.form}} | {ours[figure.key] / value:.2f}"


def made_with(results: Results) -> list[str]:
    """Versions and rounds of each work."""
    lines = ["", "Made with:", ""]
    for work, found in results.items():
        made = {**found["made with"]}
        made.setdefault("processor", "not noted")
        lines.append(f"* {work}: {told(made)}; rounds: {found['rounds']}")
    return lines
