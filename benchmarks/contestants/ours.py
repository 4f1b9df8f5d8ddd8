"""customize's side: the same ``train`` that everybody calls, with a clock at each step."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from lap_times import LapTimes

import customize
from customize_sft.method import SFT
from customize_torch.backend import CPU

LAPS = LapTimes()


@customize.options
class TimedSFT(SFT):
    """SFT, watched."""

    def train(
        self,
        session: customize.Session,
        data: customize.Dataset,
        resume: customize.Step | None = None,
    ) -> Iterator[customize.Step]:
        for step in super().train(session, data, resume):
            LAPS.lap(int(step.metrics["tokens"]), step.metrics["loss"])
            yield step


def main(work: Path, steps: int, batch_size: int, lr: float, dtype: str) -> None:
    """Train once in a folder that is thrown away."""
    method = TimedSFT(
        lr=lr, steps=steps, batch_size=batch_size, schedule="constant", warmup=0.0, replay=0.0
    )
    with tempfile.TemporaryDirectory() as folder:
        customize.train(
            model=work / "model",
            data=work / "rows.jsonl",
            to=Path(folder, "run"),
            method=method,
            backend=CPU(dtype=dtype),
            seed=0,
        )
    LAPS.print()


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    main(Path(asked["work"]), asked["steps"], asked["batch_size"], asked["lr"], asked["dtype"])
