"""A small honest method, and methods that break one rule each."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import numpy as np

from customize import (
    AdamW,
    Batch,
    CrossEntropy,
    Dataset,
    Method,
    RenderingError,
    Session,
    Step,
    option,
    options,
)


@options
class Honest(Method):
    """Cross-entropy on the answers of three rows a step."""

    data: ClassVar[str] = "chat"
    needs: ClassVar[frozenset[str]] = frozenset({"forward_backward"})

    lr: float = option(default=0.02, help="Learning rate.", at_least=0.0)

    def num_steps(self, data: Dataset) -> int:
        return -(-len(data) // 3)

    def train(self, session: Session, data: Dataset, resume: Step | None = None) -> Iterator[Step]:
        self.check_rows(data)
        yield from self.steps(session, data, 1 if resume is None else resume.number + 1)

    def steps(self, session: Session, data: Dataset, first: int) -> Iterator[Step]:
        for number in range(first, self.num_steps(data) + 1):
            output = session.forward_backward(self.batch(session, data, number), CrossEntropy())
            session.optim_step(AdamW(lr=self.lr)).result()
            yield Step(number, {"loss": output.result().loss})

    def batch(self, session: Session, data: Dataset, number: int) -> Batch:
        places = [((number - 1) * 3 + i) % len(data) for i in range(3)]
        return Batch.from_sequences([self.row(session, data[place]) for place in places])

    def row(self, session: Session, row: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        rendered = session.renderer.render(row["messages"])
        return rendered.tokens, {"weights": rendered.weights / 30}


@options
class Unbounded(Honest):
    temperature: float = option(default=1.0, help="A number without bounds.")


@options
class PicklesDefaults(Honest):
    def __reduce__(self) -> Any:
        return type(self), ()


@options
class LogsSeconds(Honest):
    def steps(self, session: Session, data: Dataset, first: int) -> Iterator[Step]:
        for step in super().steps(session, data, first):
            yield Step(step.number, {**step.metrics, "step_s": 1.0})


@options
class PromisesMore(Honest):
    def num_steps(self, data: Dataset) -> int:
        return super().num_steps(data) + 1

    def steps(self, session: Session, data: Dataset, first: int) -> Iterator[Step]:
        for step in super().steps(session, data, first):
            if step.number <= super().num_steps(data):
                yield step


@options
class Eager(Honest):
    """Looks at the model before it is asked for a step."""

    def train(self, session: Session, data: Dataset, resume: Step | None = None) -> Iterator[Step]:
        self.check_rows(data)
        session.forward(self.batch(session, data, 1)).result()
        return super().train(session, data, resume)


@options
class LeavesWork(Honest):
    """Its steps leave a gradient that the next one applies."""

    def steps(self, session: Session, data: Dataset, first: int) -> Iterator[Step]:
        for step in super().steps(session, data, first):
            session.forward_backward(self.batch(session, data, step.number), CrossEntropy())
            yield step


@options
class Unseeded(Honest):
    """A number of the system's own is among its metrics, and kept in its state."""

    def train(self, session: Session, data: Dataset, resume: Step | None = None) -> Iterator[Step]:
        drawn = random.SystemRandom().random() if resume is None else resume.state["drawn"]
        for step in super().train(session, data, resume):
            yield Step(step.number, {**step.metrics, "drawn": drawn}, {"drawn": drawn})


@options
class Unlearns(Honest):
    """A method in name only: answers become less likely."""

    def row(self, session: Session, row: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        tokens, columns = super().row(session, row)
        return tokens, {"weights": -columns["weights"]}


@options
class ChosenOnly(Honest):
    """A preference method in name only: the rejected answer is not looked at."""

    data: ClassVar[str] = "preference"

    def row(self, session: Session, row: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        return super().row(session, {"messages": [*row["messages"], *row["chosen"]]})


@options
class NeverStill(Honest):
    """Its learning rate has a floor."""

    def steps(self, session: Session, data: Dataset, first: int) -> Iterator[Step]:
        for number in range(first, self.num_steps(data) + 1):
            output = session.forward_backward(self.batch(session, data, number), CrossEntropy())
            session.optim_step(AdamW(lr=max(self.lr, 1e-4))).result()
            yield Step(number, {"loss": output.result().loss})


@options
class BeginsAgain(Honest):
    """Resumed, it takes the rows from the first on."""

    def train(self, session: Session, data: Dataset, resume: Step | None = None) -> Iterator[Step]:
        done = 0 if resume is None else resume.number
        self.check_rows(data)
        for number in range(1, self.num_steps(data) - done + 1):
            output = session.forward_backward(self.batch(session, data, number), CrossEntropy())
            session.optim_step(AdamW(lr=self.lr)).result()
            yield Step(number + done, {"loss": output.result().loss})


@options
class NeedsTooMuch(Honest):
    needs: ClassVar[frozenset[str]] = frozenset({"forward_backward", "sample"})


@options
class NeedsMore(Honest):
    def steps(self, session: Session, data: Dataset, first: int) -> Iterator[Step]:
        session.snapshot("reference")
        yield from super().steps(session, data, first)


@options
class MarksRows(Honest):
    def row(self, session: Session, row: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        assert isinstance(row, dict)
        row["seen"] = True
        return super().row(session, row)


@options
class TakesNoRows(Honest):
    def check_rows(self, data: Dataset) -> None:
        if len(data):
            super().check_rows(data)


@options
class SilentOnOneRow(Honest):
    def steps(self, session: Session, data: Dataset, first: int) -> Iterator[Step]:
        return iter(()) if len(data) == 1 else super().steps(session, data, first)


@options
class TakesAnyKind(Honest):
    def check_rows(self, data: Dataset) -> None:
        if len(data) == 0:
            super().check_rows(data)


@options
class TrainsOnAnything(Honest):
    """Where no answer is, the question is trained."""

    def row(self, session: Session, row: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        try:
            return super().row(session, row)
        except RenderingError:
            tokens = session.renderer.prompt(row["messages"])
            return tokens, {"weights": np.ones(len(tokens))}


LIARS: dict[str, Callable[[], Method]] = {
    "check_method_options_are_declared": Unbounded,
    "check_method_pickles": lambda: PicklesDefaults(lr=0.05),
    "check_steps_are_numbered": PromisesMore,
    "check_seconds_are_apart": LogsSeconds,
    "check_training_is_lazy": Eager,
    "check_nothing_is_pending_at_a_step": LeavesWork,
    "check_runs_repeat": Unseeded,
    "check_it_learns": Unlearns,
    "check_every_part_of_a_row_matters": ChosenOnly,
    "check_lr_zero_changes_nothing": NeverStill,
    "check_resume_continues_exactly": BeginsAgain,
    "check_declared_needs_are_used": NeedsTooMuch,
    "check_undeclared_needs_are_none": NeedsMore,
    "check_data_is_left_alone": MarksRows,
    "check_no_rows_are_refused": TakesNoRows,
    "check_one_row_is_enough_or_refused": SilentOnOneRow,
    "check_wrong_kind_of_data_is_refused": TakesAnyKind,
    "check_row_with_nothing_to_learn_is_refused": TrainsOnAnything,
}
