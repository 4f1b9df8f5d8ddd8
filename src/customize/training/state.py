"""A step's state on disk: JSON values, and arrays as safetensors. Knows no method."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from customize.interfaces.method import Step

_JSON, _ARRAYS = "step.json", "step.safetensors"


def write_step(folder: Path, step: Step) -> None:
    """The step, exactly: floats keep every bit through JSON."""
    from safetensors.numpy import save_file

    arrays = {k: v for k, v in step.state.items() if isinstance(v, np.ndarray)}
    plain = {k: v for k, v in step.state.items() if k not in arrays}
    value = {"number": step.number, "metrics": dict(step.metrics), "state": plain}
    (folder / _JSON).write_text(json.dumps(value), "utf-8")
    save_file({k: np.ascontiguousarray(v) for k, v in arrays.items()}, folder / _ARRAYS)


def read_step(folder: Path) -> Step:
    """What ``write_step`` wrote."""
    from safetensors.numpy import load_file

    value = json.loads((folder / _JSON).read_text("utf-8"))
    state: Mapping[str, object] = {**value["state"], **load_file(folder / _ARRAYS)}
    return Step(value["number"], value["metrics"], state)
