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

import pytest

pytest.importorskip("customize_torchrun")
pytest.importorskip("torch")

import numpy as np

from customize import AdamW, Batch, CrossEntropy, LoRA, ModelFolder, Prompt, Sampling, Session
from customize.testing import write_tiny_model
from customize_tinker.client.backend import Tinker
from customize_torch.backend import CPU

ROWS = [[3, 1, 4, 1, 5, 9], [2, 7, 1, 8], [1, 6, 1, 8, 0, 3, 4], [1, 4, 1, 4, 2]]
BATCH = Batch.from_sequences([(row, {"weights": [0.0] + [1.0] * (len(row) - 1)}) for row in ROWS])


@pytest.fixture
def model(tmp_path: Path) -> ModelFolder:
    return write_tiny_model(tmp_path / "model")


@pytest.fixture
def address(model: ModelFolder, tmp_path: Path) -> Iterator[str]:
    """Of a server in two processes, which are gone when it has ended."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launch = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    serve = ["-m", "customize", "serve", "--train", str(model.path), "--port", str(port)]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *launch, *serve], cwd=tmp_path, stderr=log, stdout=log
        )
    try:
        _wait(process, f"http://127.0.0.1:{port}/api/v1/healthz", tmp_path / "log")
        pids = _children(process.pid)
        assert len(pids) == 2
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    assert not [pid for pid in pids if _is_there(pid)]
    said = (tmp_path / "log").read_text()
    assert said.count("TINKER_BASE_URL") == 1, said  # the first alone listens, and says so
    assert "all processes end" not in said, said  # nobody was missed


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


def learnt(session: Session) -> tuple[list[float], list[list[int]], np.ndarray]:
    """Losses of three steps; what is then said, and how likely the rows are.

    A large ``eps``, or the step would be rounding where a gradient is nearly 0.
    """
    losses = []
    for _ in range(3):
        output = session.forward_backward(BATCH, CrossEntropy())
        session.optim_step(AdamW(lr=0.01, eps=0.1)).result()
        losses.append(output.result().loss)
    prompts = [Prompt(row[:2], n=2, seed=n) for n, row in enumerate(ROWS)]
    drawn = session.sample(prompts, Sampling(max_tokens=5, stop_tokens=())).result()
    tokens = [one.tokens.tolist() for completions in drawn for one in completions]
    return losses, tokens, session.forward(BATCH).result()


@pytest.mark.slow
def test_a_server_of_two_processes_trains_as_one_does(
    address: str, model: ModelFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TINKER_API_KEY", "tml-anything")
    adapter = LoRA(rank=4)
    alone = learnt(CPU().load(model).open(adapter, seed=5))
    service = Tinker(url=address, base_model=str(model.path))
    together = learnt(service.load(model).open(adapter, seed=5))
    assert together[0] == pytest.approx(alone[0], rel=1e-6)
    assert together[1] == alone[1]
    np.testing.assert_allclose(together[2], alone[2], atol=1e-4)
    assert alone[0][-1] < alone[0][0]
