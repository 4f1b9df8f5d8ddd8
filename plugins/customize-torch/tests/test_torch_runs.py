"""A run on the real engine, stopped in one process and gone on with in another."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

import customize
from customize import Batch, ModelFolder, NonFiniteError
from customize_torch.backend import CPU
from customize_torch.policy import Policy

pytest.importorskip("customize_sft")

CHILD = """
import os, signal, sys
import customize
from customize.training.loop import Loop
from customize_torch.backend import CPU

log = Loop._log

def logging(self, number, metrics):
    log(self, number, metrics)
    if number == 2:
        os.kill(os.getpid(), signal.SIGTERM)

Loop._log = logging
model, data, to = sys.argv[1:]
customize.train(model=model, data=data, to=to, backend=CPU(dtype="bfloat16"),
                options={"steps": 4, "batch_size": 2}, seed=5)
"""
ROW = '{"messages": [{"role": "user", "content": "%d"}, {"role": "assistant", "content": "%s"}]}\n'


def outcome(folder: Path) -> tuple[bytes, str]:
    weights = (folder / "adapter" / "adapter_model.safetensors").read_bytes()
    return weights, (folder / "metrics.jsonl").read_text()


@pytest.mark.slow
def test_stopped_and_gone_on_with_in_another_process_it_is_bit_equal(
    model: ModelFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUSTOMIZE_CACHE", str(tmp_path / "cache"))
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(ROW % (i, "yes " * (i + 1)) for i in range(5)))
    for name, is_stopped in (("whole", False), ("stopped", True)):
        to = tmp_path / name
        if is_stopped:
            command = [sys.executable, "-c", CHILD, str(model.path), str(data), str(to)]
            assert subprocess.run(command).returncode == 143
            assert (to / "checkpoints" / "step-00000002").is_dir()
        customize.train(
            model=model.path,
            data=data,
            to=to,
            backend=CPU(dtype="bfloat16"),
            options={"steps": 4, "batch_size": 2},
            seed=5,
        )
    assert outcome(tmp_path / "stopped") == outcome(tmp_path / "whole")


def test_steps_that_are_not_finite_are_left_out_as_often_as_allowed(
    model: ModelFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Policy.logprobs

    def logprobs(self: Policy, batch: Batch) -> Tensor:
        return plain(self, batch) * (math.nan if 3 in batch.sequence_columns["row"] else 1.0)

    monkeypatch.setattr(Policy, "logprobs", logprobs)
    rows = [{"prompt": str(i), "completion": "yes " * (i + 1)} for i in range(4)]
    given: dict[str, Any] = {
        "model": model.path,
        "data": rows,
        "to": tmp_path / "run",
        "backend": CPU(dtype="float32"),
        "options": {"steps": 8, "batch_size": 1},
        "checkpoint_every": 1,
    }
    with pytest.raises(NonFiniteError, match=r"begins at row 3\); the last good checkpoint is"):
        customize.train(**given, skip_not_finite=1)
    run = customize.train(**given, skip_not_finite=2)
    assert run.metrics[-1]["left_out"] == 2
    assert sum("loss" not in step for step in run.metrics) == 2
