"""Observers: told what happens in a run, and never in its way. Know no loop and no tracker."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import attrs

from customize.interfaces.method import Step

if TYPE_CHECKING:  # what later stages make is named here, and never made here
    from customize.evaluation import Evaluation
    from customize.training.checkpoints import Checkpoint


@attrs.frozen
class ObservedRun:
    """The run that an observer is told of.

    folder: the run's.
    recipe: every key, defaults too, as JSON values.
    lineage: versions, and hashes of everything that went in.
    step: the last step that counts: 0 in a new run; a resumed one goes on after it, and a
        finished one that is evaluated ended with it.
    """

    folder: Path
    recipe: Mapping[str, Any]
    lineage: Mapping[str, Any]
    step: int = 0

    def keep(self, name: str, make: Callable[[], str]) -> str:
        """What ``make`` gave when ``name`` was first asked for in this run, in any process.

        A tracker keeps its id so, and a resumed run is one run there too.
        """
        file = self.folder / "observers" / name
        if not file.is_file():
            file.parent.mkdir(exist_ok=True)
            beside = file.with_name(f".{name}.writing")
            beside.write_text(make(), "utf-8")
            beside.replace(file)
        return file.read_text("utf-8")


@attrs.frozen
class Outcome:
    """How it ended.

    state: finished; stopped, by Ctrl-C or SIGTERM, to be gone on with; or failed.
    step: the last step that was taken.
    error: of a failure: its kind and message.
    """

    state: Literal["finished", "stopped", "failed"]
    step: int
    error: str | None = None


# An attrs class, so that one without options of its own is a class with none.
@attrs.define(eq=False, slots=False)
class Observer:
    """Is told of runs; every call may be left out. Its ``option`` fields are its options.

    The calls come from the run's own thread, which waits for them. Between ``on_start`` and
    ``on_finish`` there is one piece of work on a run: a training, what is left of one, or an
    evaluation later on. A killed process tells of no end. An observer that raises is named and
    told no more, and the run goes on.
    """

    def on_start(self, run: ObservedRun) -> None:
        """Work on the run begins."""

    def on_step(self, step: Step) -> None:
        """A step was taken; its metrics have the held-out measures in them where one was due.

        After a kill the steps since the last checkpoint come again, with the same numbers.
        """

    def on_checkpoint(self, checkpoint: Checkpoint) -> None:
        """A whole checkpoint was written; the run removes it when newer ones are there."""

    def on_evaluation(self, evaluation: Evaluation) -> None:
        """The finished run was compared with its base."""

    def on_finish(self, outcome: Outcome) -> None:
        """The work ended, well or not: close what is open."""
