"""customize's side: the same ``train`` that everybody calls, with a clock at each step."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lap_times import LapTimes

import customize
from customize_dpo.method import DPO
from customize_sft.method import SFT
from customize_torch.backend import CPU

LAPS = LapTimes()
METHODS: dict[str, type[SFT] | type[DPO]] = {"sft": SFT, "dpo": DPO}


def timed(of: type[SFT] | type[DPO]) -> type[SFT] | type[DPO]:
    """The method, watched."""

    def train(
        self: customize.Method,
        session: customize.Session,
        data: customize.Dataset,
        resume: customize.Step | None = None,
    ) -> Iterator[customize.Step]:
        for step in of.train(self, session, data, resume):  # type: ignore[arg-type]
            LAPS.lap(int(step.metrics["tokens"]), step.metrics["loss"])
            yield step

    return customize.options(type(f"Timed{of.__name__}", (of,), {"train": train}))


def main(work: Path, method: str, steps: int, batch_size: int, lr: float, dtype: str) -> None:
    """Train once in a folder that is thrown away."""
    options: dict[str, Any] = {"lr": lr, "steps": steps, "batch_size": batch_size}
    with tempfile.TemporaryDirectory() as folder:
        customize.train(
            model=work / "model",
            data=work / "rows.jsonl",
            to=Path(folder, "run"),
            method=timed(METHODS[method])(**options, schedule="constant", warmup=0.0),
            backend=CPU(dtype=dtype),
            seed=0,
        )
    LAPS.print()


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    main(Path(asked.pop("work")), **asked)
