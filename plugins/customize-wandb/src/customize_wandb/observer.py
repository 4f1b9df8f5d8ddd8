"""Weights & Biases: one run there for one run here. Everything else is wandb's own setting."""

from __future__ import annotations

import os
import uuid
from typing import Any

import attrs

import customize


@attrs.define
class WandB(customize.Observer):
    """Logs to Weights & Biases; ``WANDB_MODE=offline`` writes files that ``wandb sync`` takes.

    Its files are in ``wandb/`` in the run folder.
    """

    project: str | None = customize.option(
        default=None, help="The project; None is WANDB_PROJECT, or wandb's own default."
    )
    _run: Any = attrs.field(init=False, default=None)  # wandb's, imported when used

    def on_start(self, run: customize.ObservedRun) -> None:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # no telemetry
        import wandb

        self._run = wandb.init(
            id=run.keep("wandb", lambda: uuid.uuid4().hex[:8]),
            resume="allow",
            reinit="create_new",  # never a run that the caller has open
            project=self.project,
            name=run.folder.name,
            dir=str(run.folder),
            config={"recipe": run.recipe, "lineage": run.lineage},
        )

    def on_step(self, step: customize.Step) -> None:
        self._run.log(dict(step.metrics), step=step.number)

    def on_evaluation(self, evaluation: customize.Evaluation) -> None:
        self._run.summary.update({f"evaluation/{k}": v for k, v in evaluation.metrics.items()})

    def on_finish(self, outcome: customize.Outcome) -> None:
        self._run.summary.update({"outcome": outcome.state, "error": outcome.error})
        if outcome.state == "stopped":
            self._run.mark_preempting()
        self._run.finish(exit_code=0 if outcome.state == "finished" else 1)
