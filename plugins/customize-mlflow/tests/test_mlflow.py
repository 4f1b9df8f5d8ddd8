"""MLflow's own client finds the numbers of a run in a local store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import customize
from customize.testing import watched_run

pytest.importorskip("mlflow")


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Of a store in the test's folder."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'store.db'}")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow import MlflowClient

    return MlflowClient()


def only_run(client: Any, experiment: str) -> Any:
    [run] = client.search_runs([client.get_experiment_by_name(experiment).experiment_id])
    return run


def test_a_run_stopped_and_gone_on_with_is_one_run_with_every_number(
    client: Any, tmp_path: Path
) -> None:
    run = watched_run(tmp_path / "run", ["mlflow"])
    told = only_run(client, "customize")
    points = client.get_metric_history(told.info.run_id, "loss")
    assert {p.step: p.value for p in points} == {int(s["step"]): s["loss"] for s in run.metrics}
    assert [p.step for p in sorted(points, key=lambda p: p.step)] == [1, 2, 3, 4, 5, 5, 6]
    # Wilson's interval for none of one ends at z² / (1 + z²).
    high = told.data.metrics["evaluation/customized_high"]
    assert high == pytest.approx(1.96**2 / (1 + 1.96**2), abs=1e-4)
    assert told.data.params["recipe.checkpoint_every"] == "2"
    assert told.info.run_name == "run"
    assert told.info.status == "FINISHED"


class Ending(customize.Observer):
    """Ends the run as SIGTERM does."""

    def on_step(self, step: customize.Step) -> None:
        raise SystemExit(143)


def test_a_run_that_was_stopped_is_told_so(client: Any, tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        watched_run(tmp_path / "run", ["mlflow", Ending()])
    assert only_run(client, "customize").info.status == "KILLED"


def test_the_experiment_is_an_option(client: Any, tmp_path: Path) -> None:
    watched_run(tmp_path / "run", {"mlflow": {"experiment": "pizza"}})
    assert only_run(client, "pizza").info.status == "FINISHED"
