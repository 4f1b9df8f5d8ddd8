"""What a contestant measures of itself, one line of JSON at the end. Imports nothing heavy."""

from __future__ import annotations

import json
import os
import time
from typing import Any

from memory import peak_mb


class LapTimes:
    """Seconds since the command was given, tokens and loss of each optimizer step."""

    def __init__(self) -> None:
        self._start = float(os.environ["BENCHMARK_START"])
        self._steps: list[dict[str, float]] = []

    def lap(self, tokens: int, loss: float) -> None:
        """A step has ended. tokens: real ones, without padding."""
        seconds = time.time() - self._start
        self._steps.append({"seconds": seconds, "tokens": tokens, "loss": loss})

    def print(self, device_bytes: float = 0.0) -> None:
        """Write the result as the last line of the output. device_bytes: the most a GPU held."""
        peak = device_bytes / 1e6 or peak_mb()
        print(json.dumps({"steps": self._steps, "peak_mb": peak}), flush=True)


def each_step(trainer: Any, laps: LapTimes) -> Any:
    """A callback of transformers: laps what the trainer has ``seen`` and ``shown`` in a step."""
    from transformers import TrainerCallback

    class EachStep(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *_: Any, **more: Any) -> None:
            laps.lap(trainer.seen, trainer.shown)
            trainer.seen, trainer.shown = 0, 0.0

    return EachStep()
