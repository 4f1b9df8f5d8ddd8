"""Which dtype this machine computes faster in, by trying. Knows no model."""

from __future__ import annotations

import logging
import time
from functools import cache

import torch

_log = logging.getLogger(__name__)
# Tokens, inputs and outputs: the widest layer of a model of 135M.
_SHAPE = 256, 576, 1536
_ROUNDS = 5
# float32 rounds less: bf16 has to be worth it.
_WORTH = 1.2


@cache
def fastest_dtype() -> str:
    """``"bfloat16"`` or ``"float32"``."""
    exact, rounded = _tried()
    chosen = "bfloat16" if exact > _WORTH * rounded else "float32"
    _log.info(
        "computing in %s: a matrix product takes %.2f ms in float32 and %.2f ms in bfloat16",
        chosen,
        1e3 * exact,
        1e3 * rounded,
    )
    return chosen


def bf16_speed() -> float:
    """How many times as fast as in float32 a matrix product is in bfloat16."""
    exact, rounded = _tried()
    return exact / rounded


@cache
def _tried() -> tuple[float, float]:
    """Seconds of a product in float32 and bfloat16; tried once a process, in some tens of
    milliseconds.
    """
    exact, rounded = _seconds(torch.float32, torch.bfloat16)
    return exact, rounded


def _seconds(*dtypes: torch.dtype) -> list[float]:
    """The best of a few rounds, in the time of one thread: what else runs counts little."""
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
