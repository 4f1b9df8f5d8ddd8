"""``torchrun -m customize train`` itself: killed, and gone on with by another number."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

import customize
from customize.testing import write_tiny_model

pytest.importorskip("torch")
pytest.importorskip("customize_sft")
if not Path("/proc/self/environ").exists():
    pytest.skip("processes are looked up as Linux tells of them", allow_module_level=True)

ROWS = [
    {
        "messages": [
            {"role": "user", "content": f"say {i}"},
            {"role": "assistant", "content": f"it is {i * i}"},
        ]
    }
    for i in range(24)
]
OPTIONS = {"steps": 80, "batch_size": 4}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    write_tiny_model(tmp_path / "model")
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return tmp_path


def begun(place: Path, processes: int) -> subprocess.Popen[str]:
    settings = {
        "model": place / "model",
        "data": place / "rows.jsonl",
        "to": place / "run",
        "backend": "torchrun",
        "backend_options.on": "cpu",
        "backend_options.on_options.dtype": "float32",
        "checkpoint_every": 5,
        **{f"options.{name}": value for name, value in OPTIONS.items()},
    }
    launch = ["torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    given = [f"--set={name}={value}" for name, value in settings.items()]
    return subprocess.Popen(
        [sys.executable, "-m", *launch, "-m", "customize", "train", *given],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )


def members(run_in: Path) -> Iterator[tuple[int, str]]:
    """Pid and rank of the processes that work on the run."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            command = (folder / "cmdline").read_bytes().split(b"\0")
            told = (folder / "environ").read_bytes().split(b"\0")
            rank = next((v.decode() for v in told if v.startswith(b"RANK=")), "")
            if rank and f"--set=to={run_in}".encode() in command:
                yield int(folder.name), rank.removeprefix("RANK=")


def losses(run: Path) -> dict[int, float]:
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return {row["step"]: row["loss"] for row in map(json.loads, lines)}


def mark(run: Path) -> None:
    """Let every line of the log tell that it was there before the run went on."""
    file = run / "metrics.jsonl"
    rows = [{**json.loads(line), "before": True} for line in file.read_text().splitlines()]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def marked(run: Path) -> list[int]:
    """Steps that were not taken again."""
    rows = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [row["step"] for row in rows if "before" in row]


@pytest.mark.slow
def test_a_killed_process_ends_the_run_which_goes_on_with_one(place: Path) -> None:
    run = place / "run"
    first = begun(place, 2)
    until = time.monotonic() + 90
    while not (run / "checkpoints" / "step-00000005").exists():
        assert first.poll() is None, first.communicate()[1]
        assert time.monotonic() < until
        time.sleep(0.2)
    pids = dict(members(run))
    os.kill(next(pid for pid, rank in pids.items() if rank == "1"), signal.SIGKILL)
    errors = first.communicate(timeout=60)[1]
    assert first.returncode != 0
    assert "process 1" in errors
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]

    reached = max(losses(run))
    assert 5 <= reached < OPTIONS["steps"]
    saved = max(int(one.name[-8:]) for one in (run / "checkpoints").glob("step-????????"))
    assert 5 <= saved <= reached
    mark(run)
    second = begun(place, 1)
    errors = second.communicate(timeout=90)[1]
    assert second.returncode == 0, errors
    assert marked(run) == list(range(1, saved + 1))
    together = losses(run)
    assert sorted(together) == list(range(1, OPTIONS["steps"] + 1))

    customize.train(
        model=place / "model",
        data=place / "rows.jsonl",
        to=place / "alone",
        backend="cpu",
        backend_options={"dtype": "float32", "threads": 1},
        options=OPTIONS,
    )
    alone = losses(place / "alone")
    assert together[1] == pytest.approx(alone[1], rel=1e-6)
    assert [together[n] for n in range(1, 11)] == pytest.approx(
        [alone[n] for n in range(1, 11)], rel=1e-4
    )
