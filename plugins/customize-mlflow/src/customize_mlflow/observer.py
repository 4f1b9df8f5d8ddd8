"""MLflow: one run there for one run here. Where the store is, is MLflow's own setting."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

import customize

_STATUS = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}


@attrs.define
class MLflow(customize.Observer):
    """Logs to MLflow: to ``MLFLOW_TRACKING_URI``, or to MLflow's own default, a local store."""

    experiment: str = customize.option(default="customize", help="The experiment; made if new.")
    _client: Any = attrs.field(init=False, default=None)  # MLflow's, imported when used
    _id: str = attrs.field(init=False, default="")
    _step: int = attrs.field(init=False, default=0)

    def on_start(self, run: customize.ObservedRun) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        from mlflow import MlflowClient

        self._client = MlflowClient()
        self._step = run.step
        self._id = run.keep("mlflow", lambda: self._made(run))
        self._client.update_run(self._id, status="RUNNING")

    def on_step(self, step: customize.Step) -> None:
        self._step = step.number
        self._log(step.metrics)

    def on_evaluation(self, evaluation: customize.Evaluation) -> None:
        self._log({f"evaluation/{k}": v for k, v in evaluation.metrics.items()})

    def on_finish(self, outcome: customize.Outcome) -> None:
        if outcome.error is not None:
            self._client.set_tag(self._id, "error", outcome.error)
        self._client.set_terminated(self._id, _STATUS[outcome.state])

    def _made(self, run: customize.ObservedRun) -> str:
        found = self._client.get_experiment_by_name(self.experiment)
        home = found.experiment_id if found else self._client.create_experiment(self.experiment)
        identity: str = self._client.create_run(home, run_name=run.folder.name).info.run_id
        for name, value in _flat("", {"recipe": run.recipe, "lineage": run.lineage}):
            self._client.log_param(identity, name, value)
        return identity

    def _log(self, metrics: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        points = [Metric(name, value, now, self._step) for name, value in metrics.items()]
        self._client.log_batch(self._id, metrics=points)


def _flat(prefix: str, values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """``recipe.options.lr`` and its value."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(f"{prefix}{key}.", value)
        else:
            yield f"{prefix}{key}", value
