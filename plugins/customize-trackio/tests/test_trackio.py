"""Trackio's own store holds the numbers of a run. Each test is a process: the place is fixed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trackio")

SCRIPT = """
import json, sys
from pathlib import Path
from customize.testing import watched_run
run = watched_run(Path(sys.argv[1]), {"trackio": {"project": "pizza"}})
from trackio.sqlite_storage import SQLiteStorage
[name] = SQLiteStorage.get_runs("pizza")
told = [name, SQLiteStorage.get_logs("pizza", name), SQLiteStorage.get_run_config("pizza", name)]
Path(sys.argv[2]).write_text(json.dumps([*told, run.metrics]))
"""


@pytest.fixture
def told(tmp_path: Path) -> Any:
    """The run's name, its rows and its settings in the store, and the metrics of the run folder."""
    place = {"TRACKIO_DIR": str(tmp_path / "store"), "HF_HUB_OFFLINE": "1"}
    paths = [str(tmp_path / "run"), str(tmp_path / "told.json")]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *paths],
        env={**os.environ, **place},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads((tmp_path / "told.json").read_text())


def test_a_run_stopped_and_gone_on_with_is_one_run_with_every_number(
    told: Any, tmp_path: Path
) -> None:
    name, rows, settings, metrics = told
    assert name == (tmp_path / "run" / "observers" / "trackio").read_text()
    losses = [(row["step"], row["loss"]) for row in rows if "loss" in row]
    assert dict(losses) == {int(step["step"]): step["loss"] for step in metrics}
    assert [step for step, _ in sorted(losses)] == [1, 2, 3, 4, 5, 5, 6]
    [evaluated] = [row for row in rows if "evaluation/customized" in row]
    assert (evaluated["step"], evaluated["evaluation/customized"]) == (6, 0.0)
    assert settings["recipe"]["checkpoint_every"] == 2
