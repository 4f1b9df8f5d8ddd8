"""customize's side of GRPO: the same ``train`` that everybody calls, with a clock at each step."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from lap_times import LapTimes
from letters import letters

import customize
from customize_grpo.method import GRPO

LAPS = LapTimes()


class Timed(GRPO):
    """The method, watched."""

    def train(
        self,
        session: customize.Session,
        data: customize.Dataset,
        resume: customize.Step | None = None,
    ) -> Iterator[customize.Step]:
        for step in super().train(session, data, resume):
            LAPS.lap(int(step.metrics["length"] * step.metrics["episodes"]), step.metrics["reward"])
            yield step


def main(
    work: Path,
    steps: int,
    prompts: int,
    group_size: int,
    max_tokens: int,
    lr: float,
    dtype: str,
    device: str,
) -> None:
    """Train once in a folder that is thrown away."""
    method = customize.options(Timed)(
        reward=letters,
        preset="dr-grpo",
        batch_size=prompts,
        group_size=group_size,
        steps=steps,
        max_tokens=max_tokens,
        lr=lr,
        watch_kl=0,  # TRL's beta of 0 looks at no base either
    )
    with tempfile.TemporaryDirectory() as folder:
        run = customize.train(
            model=work / "model",
            data=work / "rows.jsonl",
            to=Path(folder, "run"),
            method=method,
            backend=customize.choose_backend(device, {"dtype": dtype}),
            seed=0,
        )
        cost = run.folder.cost() if run.folder else None
    LAPS.print(cost["peak_bytes"] if cost and device != "cpu" else 0.0)


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    main(Path(asked.pop("work")), **asked)
