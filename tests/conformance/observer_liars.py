"""An honest observer, and observers that break one rule each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import customize


class Honest(customize.Observer):
    """Writes a file of its own."""

    def on_start(self, run: customize.ObservedRun) -> None:
        self.file = Path(run.folder, run.keep("honest", lambda: "steps.txt"))

    def on_step(self, step: customize.Step) -> None:
        with self.file.open("a") as stream:
            stream.write(f"{step.number}\n")


class Deaf(Honest):
    def on_evaluation(self, evaluation: customize.Evaluation) -> None:
        raise TypeError("no such thing as an evaluation")


class Meddling(Honest):
    def on_step(self, step: customize.Step) -> None:
        metrics: Any = step.metrics
        metrics["loss"] = 0.0


class Careless(Honest):
    def on_finish(self, outcome: customize.Outcome) -> None:
        (self.file.parent / "metrics.jsonl").write_text("")


LIARS: dict[str, Callable[[], customize.Observer]] = {
    "check_every_call_is_taken": Deaf,
    "check_what_it_is_given_stays_as_it_was": Meddling,
    "check_the_runs_files_are_left_alone": Careless,
}
