"""A run on the real engine, stopped in one process and gone on with in another."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import customize
from customize import ModelFolder
from customize_torch.backend import CPU

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
