"""The offline files of wandb hold the numbers of a run."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import customize
from customize.testing import watched_run

pytest.importorskip("wandb")

BLOCK, WHOLE, LAST = 32768, 1, 4


@pytest.fixture(autouse=True)
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    for place in ("CACHE", "CONFIG", "DATA"):
        monkeypatch.setenv(f"WANDB_{place}_DIR", str(tmp_path / "own"))


def records(file: Path) -> Iterator[Any]:
    """wandb's own messages; its reader of the file, a log in LevelDB's format, is not in Python."""
    from wandb.proto.wandb_internal_pb2 import Record

    data = file.read_bytes()
    assert data.startswith(b":W&B")
    at, message = 7, b""
    while at < len(data):
        if (room := BLOCK - at % BLOCK) < 7:
            at += room
            continue
        checksum, size, kind = struct.unpack("<IHB", data[at : at + 7])
        piece = data[at + 7 : at + 7 + size]
        assert zlib.crc32(bytes([kind]) + piece) == checksum
        at, message = at + 7 + size, message + piece
        if kind in (WHOLE, LAST):
            record = Record()
            record.ParseFromString(message)
            message = b""
            yield record


def processes(folder: Path) -> list[list[Any]]:
    """The records of each piece of work on the run, in order of time."""
    files = folder.glob("wandb/offline-run-*/run-*.wandb")
    return [list(records(file)) for file in sorted(files, key=lambda file: file.parent.name)]


def history(work: list[Any]) -> list[dict[str, Any]]:
    rows = [r.history for r in work if r.HasField("history")]
    return [
        {item.key or item.nested_key[0]: json.loads(item.value_json) for item in row.item}
        for row in rows
    ]


def summary(work: list[Any]) -> dict[str, Any]:
    updates = [i for r in work if r.HasField("summary") for i in r.summary.update]
    return {(i.key or i.nested_key[0]): json.loads(i.value_json) for i in updates}


def test_a_run_stopped_and_gone_on_with_has_one_id_and_every_number(tmp_path: Path) -> None:
    run = watched_run(tmp_path / "run", ["wandb"])
    stopped, resumed, evaluated = processes(tmp_path / "run")
    losses = {row["_step"]: row["loss"] for row in history(stopped) + history(resumed)}
    assert losses == {int(step["step"]): step["loss"] for step in run.metrics}
    ids = {r.run.run_id for work in (stopped, resumed, evaluated) for r in work if r.run.run_id}
    assert ids == {(tmp_path / "run" / "observers" / "wandb").read_text()}
    # Wilson's interval for none of one ends at z² / (1 + z²).
    high = summary(evaluated)["evaluation/customized_high"]
    assert high == pytest.approx(1.96**2 / (1 + 1.96**2), abs=1e-4)


def test_how_it_ended_is_told(tmp_path: Path) -> None:
    watched_run(tmp_path / "run", ["wandb"])
    stopped, resumed, _ = processes(tmp_path / "run")
    assert (summary(stopped)["outcome"], stopped[-1].exit.exit_code) == ("stopped", 1)
    assert (summary(resumed)["outcome"], resumed[-1].exit.exit_code) == ("finished", 0)


def test_the_recipe_and_the_project_are_told(tmp_path: Path) -> None:
    run = watched_run(tmp_path / "run", {"wandb": {"project": "pizza"}})
    [begun, *_] = [r.run for r in processes(tmp_path / "run")[0] if r.HasField("run")]
    assert begun.project == "pizza"
    assert run.folder is not None
    told = {item.key: json.loads(item.value_json) for item in begun.config.update}
    assert customize.Recipe(**told["recipe"]).hash == run.folder.recipe().hash
