"""Trackio: one run there for one run here. Where it is kept is Trackio's own setting."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import attrs

import customize


@attrs.define
class Trackio(customize.Observer):
    """Logs to Trackio: on this machine, or where ``TRACKIO_SPACE_ID`` says."""

    project: str = customize.option(default="customize", help="The project; made if new.")
    _run: Any = attrs.field(init=False, default=None)  # Trackio's, imported when used
    _step: int = attrs.field(init=False, default=0)

    def on_start(self, run: customize.ObservedRun) -> None:
        import trackio

        self._step = run.step
        self._run = trackio.init(
            project=self.project,
            # It is found again by its name.
            name=run.keep("trackio", lambda: f"{run.folder.name}-{uuid.uuid4().hex[:8]}"),
            resume="allow",
            config={"recipe": run.recipe, "lineage": run.lineage},
            embed=False,
        )

    def on_step(self, step: customize.Step) -> None:
        self._step = step.number
        self._log(step.metrics)

    def on_evaluation(self, evaluation: customize.Evaluation) -> None:
        self._log({f"evaluation/{k}": v for k, v in evaluation.metrics.items()})

    def on_finish(self, outcome: customize.Outcome) -> None:
        self._run.finish()

    def _log(self, metrics: Mapping[str, float]) -> None:
        self._run.log(dict(metrics), step=self._step)
