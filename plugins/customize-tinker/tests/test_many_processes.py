"""The server on the backend ``torchrun``: the same command, more processes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import attrs
import pytest

pytest.importorskip("customize_torchrun")
pytest.importorskip("torch")

from customize import AdamW, Batch, CrossEntropy, LoRA, ModelFolder, Prompt, Sampling, Session
from customize.testing import write_tiny_model
from customize_tinker.client.backend import Tinker
from customize_tinker.store import write_json
from customize_torch.backend import CPU

HERE = CPU(dtype="float32", threads=1)
ROWS = [[3, 1, 4, 1, 5, 9], [2, 7, 1, 8], [1, 6, 1, 8, 0, 3, 4], [1, 4, 1, 4, 2]]
BATCH = Batch.from_sequences([(row, {"weights": [0.0] + [1.0] * (len(row) - 1)}) for row in ROWS])


@pytest.fixture
def model(tmp_path: Path) -> ModelFolder:
    return write_tiny_model(tmp_path / "model")


@attrs.frozen
class Served:
    """A server in two processes. pid: of torchrun, whose children they are."""

    address: str
    pid: int


@pytest.fixture
def served(model: ModelFolder, tmp_path: Path) -> Iterator[Served]:
    """In float32, as if the folder had been begun so. When it is told to end nobody stays, and
    nobody is missed.
    """
    begun = {"base": model.fingerprint, "numerics": {"on": "cpu", **HERE.numerics()}}
    write_json(tmp_path / "tinker" / "server.json", begun)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launch = ["torch.distributed.run", "--standalone", "--nproc-per-node=2", "--max-restarts=1"]
    serve = ["-m", "customize", "serve", "--train", str(model.path), "--port", str(port)]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *launch, *serve], cwd=tmp_path, stderr=log, stdout=log
        )
    try:
        _wait(process, f"http://127.0.0.1:{port}/api/v1/healthz", tmp_path / "log")
        yield Served(f"http://127.0.0.1:{port}", process.pid)
        pids = _children(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    assert not [pid for pid in pids if _is_there(pid)]
    said = (tmp_path / "log").read_text().split("TINKER_BASE_URL")
    assert len(said) == 3, said  # the first process says so alone, each time
    assert "all processes end" not in said[-1], said


def _wait(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    until = time.monotonic() + 120
    while True:
        try:
            urllib.request.urlopen(address, timeout=5).close()
        except OSError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.2)
        else:
            return


def _children(pid: int) -> list[int]:
    file = Path(f"/proc/{pid}/task/{pid}/children")
    if not file.exists():
        pytest.skip("processes are looked up as Linux tells of them")
    return [int(child) for child in file.read_text().split()]


def _is_there(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


def learn(session: Session, steps: int) -> list[float]:
    """Losses. A large ``eps``, or the step would be rounding where a gradient is nearly 0."""
    losses = []
    for _ in range(steps):
        output = session.forward_backward(BATCH, CrossEntropy())
        session.optim_step(AdamW(lr=0.01, eps=0.1)).result()
        losses.append(output.result().loss)
    return losses


def said(session: Session) -> list[list[int]]:
    prompts = [Prompt(row[:2], n=2, seed=n) for n, row in enumerate(ROWS)]
    drawn = session.sample(prompts, Sampling(max_tokens=5, stop_tokens=())).result()
    return [one.tokens.tolist() for completions in drawn for one in completions]


@pytest.mark.slow
def test_a_server_of_two_processes_trains_as_one_does_and_goes_on_when_one_is_killed(
    served: Served, model: ModelFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torchrun starts both anew, journals are replayed, and the client has only waited."""
    monkeypatch.setenv("TINKER_API_KEY", "tml-anything")
    alone = HERE.load(model).open(LoRA(rank=4), seed=5)
    service = Tinker(url=served.address, base_model=str(model.path))
    together = service.load(model).open(LoRA(rank=4), seed=5)
    losses = learn(alone, 5)
    assert learn(together, 3) == pytest.approx(losses[:3], rel=1e-6)
    last = max(_children(served.pid))
    os.kill(last, signal.SIGKILL)
    assert learn(together, 2) == pytest.approx(losses[3:], rel=1e-6)
    assert last not in _children(served.pid)
    assert said(together) == said(alone)
    assert losses[-1] < losses[0]
