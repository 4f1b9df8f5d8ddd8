"""The observer: told of every step, and never in the run's way."""

from __future__ import annotations

from pathlib import Path

import attrs
import customize


@attrs.define
class Example(customize.Observer):
    """Writes ``example.txt`` in the run folder; after a kill it goes on there."""

    _file: Path = attrs.field(init=False)

    def on_start(self, run: customize.ObservedRun) -> None:
        self._file = run.folder / "example.txt"

    def on_step(self, step: customize.Step) -> None:
        metrics = ", ".join(f"{name} {value:.4g}" for name, value in step.metrics.items())
        with self._file.open("a", encoding="utf-8") as file:
            file.write(f"step {step.number}: {metrics}\n")
