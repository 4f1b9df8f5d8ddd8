"""What computes best on this machine, tried once and remembered. Knows no model.

Imports torch only to try, so that what was tried before is known without it.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING

from customize import known_here

if TYPE_CHECKING:
    import torch

_log = logging.getLogger(__name__)
# Tokens, inputs and outputs: the widest layer of a model of 135M.
_SHAPE = 256, 576, 1536
_ROUNDS = 5
# float32 rounds less: bf16 has to be worth it.
_WORTH = 1.2
# What variables that decide how torch computes begin with: those of OpenMP, MKL and oneDNN.
_DECIDING = ("OMP_", "GOMP_", "KMP_", "MKL_", "DNNL_", "ONEDNN_")


@cache
def fastest_dtype() -> str:
    """``"bfloat16"`` or ``"float32"``."""
    exact, rounded = known_here("float32 and bfloat16", _circumstances(), _tried)
    chosen = "bfloat16" if exact > _WORTH * rounded else "float32"
    _log.info(
        "computing in %s: a matrix product takes %.2f ms in float32 and %.2f ms in bfloat16",
        chosen,
        1e3 * exact,
        1e3 * rounded,
    )
    return chosen


def bf16_speed() -> float:
    """How many times as fast as in float32 a matrix product is in bfloat16, by trying now."""
    exact, rounded = _tried()
    return exact / rounded


def num_threads() -> int:
    """Those that torch takes, by itself or as somebody in this process has told it."""
    if "torch" in sys.modules:
        return _taken()
    return known_here("threads", _circumstances(), _taken)


def _circumstances() -> dict[str, object]:
    """What torch's choices and speed depend on, beside the processor."""
    deciding = {name: os.environ[name] for name in os.environ if name.startswith(_DECIDING)}
    allowed = hasattr(os, "sched_getaffinity")
    processors = sorted(os.sched_getaffinity(0)) if allowed else os.cpu_count()
    return {"torch": version("torch"), "processors": processors, "variables": deciding}


def _taken() -> int:
    import torch

    return torch.get_num_threads()


@cache
def _tried() -> list[float]:
    """Seconds of a product in float32 and bfloat16; tried once a process, in some tens of
    milliseconds.
    """
    import torch

    return _seconds(torch.float32, torch.bfloat16)


def _seconds(*dtypes: torch.dtype) -> list[float]:
    """The best of a few rounds, in the time of one thread: what else runs counts little."""
    import torch

    tokens, inputs, outputs = _SHAPE
    best = [float("inf")] * len(dtypes)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for _ in range(1 + _ROUNDS):  # the first one prepares
            for i, dtype in enumerate(dtypes):
                x = torch.ones(tokens, inputs, dtype=dtype)
                w = torch.ones(outputs, inputs, dtype=dtype)
                begun = time.thread_time()
                torch.nn.functional.linear(x, w)
                best[i] = min(best[i], time.thread_time() - begun)
    finally:
        torch.set_num_threads(threads)
    return best
