"""TensorBoard: numbers of a run as event files. Needs neither TensorFlow nor torch."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

import attrs

import customize


@attrs.define
class TensorBoard(customize.Observer):
    """Writes ``tensorboard/`` in the run folder: ``tensorboard --logdir runs`` shows all runs."""

    _writer: Any = attrs.field(init=False, default=None)  # tensorboard's, imported when used
    _step: int = attrs.field(init=False, default=0)

    def on_start(self, run: customize.ObservedRun) -> None:
        from tensorboard.compat.proto.event_pb2 import SessionLog
        from tensorboard.plugins.text.summary_v2 import text_pb
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._step = run.step
        self._writer = EventFileWriter(str(run.folder / "tensorboard"))
        # Readers drop what an earlier process wrote of the steps that come again.
        self._add(run.step + 1, session_log=SessionLog(status=SessionLog.START))
        settings = json.dumps({"recipe": run.recipe, "lineage": run.lineage}, indent=1)
        shown = "".join(f"    {line}\n" for line in settings.splitlines())
        self._add(run.step, summary=text_pb("run", shown))
        self._writer.flush()

    def on_step(self, step: customize.Step) -> None:
        self._step = step.number
        self._scalars(step.metrics)

    def on_evaluation(self, evaluation: customize.Evaluation) -> None:
        self._scalars({f"evaluation/{k}": v for k, v in evaluation.metrics.items()})

    def on_finish(self, outcome: customize.Outcome) -> None:
        self._writer.close()

    def _scalars(self, metrics: Mapping[str, float]) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = [Summary.Value(tag=name, simple_value=value) for name, value in metrics.items()]
        self._add(self._step, summary=Summary(value=values))
        self._writer.flush()  # so that a kill loses none that a checkpoint has

    def _add(self, step: int, **what: Any) -> None:  # a field of the event's own message type
        from tensorboard.compat.proto.event_pb2 import Event

        self._writer.add_event(Event(wall_time=time.time(), step=step, **what))
