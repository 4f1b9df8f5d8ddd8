"""A run for tests of observers: stopped in a step, gone on with, evaluated. It learns nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import customize
from customize.testing.toy import ToyBackend

ROWS = [
    {
        "messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": "yes"}],
        "expect": {"includes": "no such words"},
    }
]


@customize.options
class Counting(customize.Method):
    """Six steps of loss 1 / number; Ctrl-C comes after the fifth, unless it is a resumed run's."""

    data: ClassVar[str] = "chat"
    needs: ClassVar[frozenset[str]] = frozenset()

    def num_steps(self, data: customize.Dataset) -> int:
        return 6

    def train(
        self,
        session: customize.Session,
        data: customize.Dataset,
        resume: customize.Step | None = None,
    ) -> Iterator[customize.Step]:
        for number in range(resume.number + 1 if resume else 1, 7):
            yield customize.Step(number, {"loss": 1 / number})
            if number == 5 and resume is None:
                raise KeyboardInterrupt

    def validate(
        self, snapshot: customize.Snapshot, rows: customize.Dataset
    ) -> Mapping[str, float]:
        return {"validation_loss": 0.5}


def watched_run(
    to: Path,
    observers: Mapping[str, Mapping[str, Any]] | Sequence[str | customize.Observer],
) -> customize.Run:
    """A finished and evaluated run of `Counting`, told to ``observers``.

    It was stopped in step 5, after the checkpoint of step 4, so that step 5 is told twice. The one
    answer of its evaluation is wrong.
    """

    def train() -> customize.Run:
        return customize.train(
            model="toy",
            data=ROWS,
            validation=ROWS,
            evaluate=False,
            to=to,
            method=Counting(),
            backend=ToyBackend(),
            observers=observers,
            checkpoint_every=2,
            evaluate_every=3,
        )

    with suppress(KeyboardInterrupt):
        train()
    run = train()
    run.evaluate(ROWS)
    return run
