"""An observer under test, and the run that it was told of. Knows no rule."""

from __future__ import annotations

import copy
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import customize
from customize.plugins import names
from customize.testing.observing import watched_run
from customize.testing.subject import Subject


class ObserverSubject(Subject):
    """An observer, told of one run in three pieces of work."""

    kind: ClassVar[str] = "observer"

    def __init__(self, name: str, observer: customize.Observer) -> None:
        super().__init__(name)
        self._held = Held(observer)

    def obstacle(self) -> str | None:
        return None if "sft" in names("method") else "needs a run: pip install customize-sft"

    @cached_property
    def heard(self) -> Held:
        """The observer after the run."""
        assert self.watched
        return self._held

    @cached_property
    def watched(self) -> Path:
        """The folder of the run that it was told of."""
        return self._run([self._held])

    @cached_property
    def alone(self) -> Path:
        """The folder of the same run, told to nobody."""
        return self._run([])

    def _run(self, observers: list[customize.Observer]) -> Path:
        folder = self.folder() / "run"
        watched_run(folder, observers)
        return folder


class Held(customize.Observer):
    """Another observer, with what it raised and what it changed of what it was given."""

    def __init__(self, observer: customize.Observer) -> None:
        self.raised: list[str] = []
        self.changed: list[str] = []
        self._observer = observer

    def on_start(self, run: customize.ObservedRun) -> None:
        self._hand("on_start", run)

    def on_step(self, step: customize.Step) -> None:
        self._hand("on_step", step)

    def on_checkpoint(self, checkpoint: customize.Checkpoint) -> None:
        self._hand("on_checkpoint", checkpoint)

    def on_evaluation(self, evaluation: customize.Evaluation) -> None:
        self._hand("on_evaluation", evaluation)

    def on_finish(self, outcome: customize.Outcome) -> None:
        self._hand("on_finish", outcome)

    def _hand(self, call: str, fact: object) -> None:
        before = copy.deepcopy(fact)
        try:
            getattr(self._observer, call)(fact)
        except Exception as error:  # whatever the subject raises
            self.raised.append(f"{call} raises {type(error).__name__}: {error}")
        if fact != before:
            self.changed.append(f"{call} was given {before}, and left {fact}")
