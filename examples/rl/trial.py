"""One trial: a warm start, reinforcement learning, and what each gave on held-out rows.

What demonstrations alone give is measured beside it, twice as many above all: where that does as
well, it is the cheaper way. Figures go into the README between two marks; none is typed by hand.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

import customize

Rows = Sequence[Mapping[str, Any]]
_MARK = "<!-- {}: written by {}.py --write -->\n"
_END = "<!-- end of {} -->\n"


@attrs.frozen(kw_only=True)
class Trial:
    """What is learnt, from what, and how. ``beside``: what else is trained, by demonstrations."""

    name: str
    environment: customize.Environment
    demonstrations: Rows
    beside: Mapping[str, Rows]
    rows: Rows
    held_out: Rows
    warm: Mapping[str, Any]
    options: Mapping[str, Any]


def main(trial: Trial, here: Path) -> None:
    """Train what is not trained yet, compare, and with ``--write`` put it into the README."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    to = Path(os.environ.get("RL_TO", "runs")) / f"rl-{trial.name}"
    began = time.perf_counter(), time.process_time()
    warm = _sft(trial, trial.demonstrations, to / "warm")
    learnt = _grpo(trial, to / "learnt", warm)
    seconds = time.perf_counter() - began[0], time.process_time() - began[1]
    beside = {
        name: _sft(trial, rows, to / name.replace(" ", "-")) for name, rows in trial.beside.items()
    }
    text = _table(trial, learnt, {"warm start": warm, **beside})
    if os.environ.get("RL_STEPS") is None:
        text += f"\nTrained in {seconds[0]:.0f} s ({seconds[1]:.0f} s of processor time)."
    print(text)
    if "--write" in sys.argv:
        _write(here / "README.md", trial.name, Path(sys.argv[0]).stem, text)


def _sft(trial: Trial, rows: Rows, to: Path) -> customize.Run:
    return customize.train(
        model="smollm2", data=rows, options={**trial.warm, **_shortened()}, to=to
    )


def _grpo(trial: Trial, to: Path, warm: customize.Run) -> customize.Run:
    assert warm.folder is not None
    return customize.train(
        model="smollm2",
        data=trial.rows,
        method="grpo",
        environment=trial.environment,
        adapter=str(warm.folder.path),
        options={**trial.options, **_shortened()},
        to=to,
    )


def _shortened() -> dict[str, int]:
    """Fewer steps, to see that it runs."""
    steps = os.environ.get("RL_STEPS")
    return {} if steps is None else {"steps": int(steps)}


def _table(trial: Trial, run: customize.Run, others: Mapping[str, customize.Run]) -> str:
    rows = trial.held_out[: int(os.environ.get("RL_ROWS", len(trial.held_out)))]
    lines = ["| | greedy | sampled |", "| --- | --- | --- |"]
    given: dict[str, Any] = {
        "environment": trial.environment,
        "against": others,
        "max_tokens": trial.options["max_tokens"],
    }
    both = run.evaluate(rows, **given), run.evaluate(rows, **given, samples=4, temperature=1.0)
    names = {"base": "SmolLM2", "customized": "after reinforcement"}
    for column in both[0].columns:
        cells = [_cell(found.rate(column, metric="reward")) for found in both]
        lines.append(f"| {names.get(column, column)} | {cells[0]} | {cells[1]} |")
    for column in others:
        gains = [found.change("customized", column, metric="reward") for found in both]
        cells = [_cell(gain, "+") for gain in gains]
        lines.append(f"| the gain over {column} | {cells[0]} | {cells[1]} |")
    told = (
        f"Mean rewards of {len(rows)} held-out rows with intervals of 95 %; gains are paired by "
        f"row.\nTokens an episode, greedy and sampled: {_lengths(both, ['customized', *others])}."
    )
    return "\n".join([*lines, "", told])


def _lengths(both: Sequence[Any], columns: Sequence[str]) -> str:
    told = []
    for column in columns:
        greedy, sampled = (found.rate(column, metric="tokens").estimate for found in both)
        name = "after reinforcement" if column == "customized" else column
        told.append(f"{name} {greedy:.1f} and {sampled:.1f}")
    return ", ".join(told)


def _cell(interval: Any, sign: str = "") -> str:
    low, high = (f"{bound:{sign}.2f}" for bound in (interval.low, interval.high))
    return f"{interval.estimate:{sign}.2f} ({low} to {high})"


def _write(readme: Path, name: str, script: str, text: str) -> None:
    begin, end = _MARK.format(name, script), _END.format(name)
    before, rest = readme.read_text("utf-8").split(begin)
    after = rest.split(end)[1]
    readme.write_text(f"{before}{begin}{text}\n{end}{after}", "utf-8")
