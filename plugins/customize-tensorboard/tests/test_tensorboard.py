"""TensorBoard's own reader finds the numbers of a run, each once."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from customize.testing import watched_run

pytest.importorskip("tensorboard")


def read(folder: Path) -> tuple[dict[str, list[tuple[int, float]]], str]:
    """Points by tag, and the text of the run's settings."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    scalars = events.Tags()["scalars"]
    points = {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in scalars}
    [*_, last] = events.Tensors("run")
    return points, last.tensor_proto.string_val[0].decode()


def test_a_run_stopped_and_gone_on_with_is_one_curve(tmp_path: Path) -> None:
    run = watched_run(tmp_path / "run", ["tensorboard"])
    points, text = read(tmp_path / "run")
    # Event files hold numbers in single precision.
    assert points["loss"] == [(n, float(np.float32(1 / n))) for n in range(1, 7)]
    assert points["validation_loss"] == [(3, 0.5), (6, 0.5)]
    assert points["evaluation/customized"] == [(6, 0.0)]
    # Wilson's interval for none of one ends at z² / (1 + z²).
    [(step, high)] = points["evaluation/customized_high"]
    assert step == 6
    assert high == pytest.approx(1.96**2 / (1 + 1.96**2), abs=1e-4)
    assert run.folder is not None
    assert json.loads(text)["lineage"] == run.folder.lineage()
