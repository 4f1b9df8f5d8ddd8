"""A tiny model on a backend: ``python -m customize.doctor.computing NAME [OPTIONS]``.

Products, attention, a gradient and a step of a random llama with two layers. In a process of its
own, since what is wrong with a device may end the process that meets it.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from customize._batch import Batch
from customize._errors import BackendError, CustomizeError
from customize._losses import CrossEntropy
from customize.interfaces.backend import Backend
from customize.interfaces.session import AdamW, LoRA
from customize.plugins import load

_TIMEOUT_S = 180
_LENGTHS = (3, 17, 40, 9)
_RAISED = re.compile(r"^Traceback \(.*\n(?:[ \t].*\n)*(\S.*)", re.MULTILINE)


@attrs.frozen
class Computed:
    """logprobs: of the base. losses: before a step and after it; empty where it cannot train.

    numerics: what the backend settled on here, such as its type. hardware: what it computes on.
    """

    logprobs: list[float]
    losses: list[float]
    numerics: Mapping[str, str | int]
    seconds: float
    hardware: Mapping[str, str] = attrs.field(factory=dict)


def computed(name: str, options: Mapping[str, Any] | None = None) -> Computed:
    """What a backend makes of the tiny model.

    Raises:
        BackendError: its process failed, with what it said of that, or took too long.
    """
    command = [sys.executable, "-m", "customize.doctor.computing", name, json.dumps(options or {})]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise BackendError(f"no answer within {_TIMEOUT_S} s") from None
    if done.returncode != 0:
        raise BackendError(_reason(done.stderr) or f"it ended with code {done.returncode}")
    told = json.loads(done.stdout.splitlines()[-1])
    if "error" in told:
        raise BackendError(told["error"])
    return Computed(**told)


def _reason(stderr: str) -> str | None:
    """The first line of what was raised last: torch explains what a device did in more lines. Where
    nothing was raised, the last line.
    """
    raised = _RAISED.findall(stderr) or stderr.strip().splitlines()
    return raised[-1] if raised else None


def compute(backend: Backend) -> Computed:
    """The same, in this process."""
    from customize.testing import write_tiny_model

    begun = time.perf_counter()
    settled = backend.settled({})
    with tempfile.TemporaryDirectory() as folder:
        engine = settled.load(write_tiny_model(Path(folder, "tiny")))
    batch = _batch()
    logprobs = engine.base().forward(batch).result()
    losses: list[float] = []
    if {"forward_backward", "lora"} <= settled.capabilities():
        session = engine.open(LoRA(), seed=0)
        losses.append(session.forward_backward(batch, CrossEntropy()).result().loss)
        session.optim_step(AdamW(lr=1e-2)).result()
        losses.append(session.forward_backward(batch, CrossEntropy()).result().loss)
    seconds = time.perf_counter() - begun
    return Computed(
        logprobs.tolist(), losses, dict(settled.numerics()), seconds, dict(settled.hardware())
    )


def _batch() -> Batch:
    rng = np.random.default_rng(0)
    rows = [rng.integers(0, 200, length) for length in _LENGTHS]
    scored = sum(len(row) - 1 for row in rows)
    weights = [np.where(np.arange(len(row)) > 0, 1 / scored, 0) for row in rows]
    return Batch.from_sequences(
        [(row, {"weights": w}) for row, w in zip(rows, weights, strict=True)]
    )


def _main(name: str, options: str = "{}") -> dict[str, Any]:
    """What is written for the process that asked, as JSON values; for a person, also where."""
    try:
        return attrs.asdict(compute(load("backend", name)(**json.loads(options))))
    except CustomizeError as error:
        traceback.print_exc()
        return {"error": str(error)}


if __name__ == "__main__":
    print(json.dumps(_main(*sys.argv[1:])))
