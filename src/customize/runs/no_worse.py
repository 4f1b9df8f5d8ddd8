"""A quantized package held to the run's own evaluation: it must be no worse than the run.

Greedy answers of quantized weights differ from the run's whatever one does; what counts is whether
they are still right. Knows no format.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

import attrs

from customize.data.reading import read
from customize.evaluation.columns import SnapshotColumn
from customize.evaluation.evaluate import evaluate
from customize.evaluation.gates import judge
from customize.evaluation.progress import AnswerProgress
from customize.interfaces.backend import Session
from customize.interfaces.dataset import Row
from customize.interfaces.exporter import Exportable, Exporter
from customize.interfaces.gate import no_worse
from customize.interfaces.runtime import Runtime
from customize.packaging.parity import Fault, Limits, Parity
from customize.packaging.snapshot import RuntimeSnapshot
from customize.runs.evaluating import planned, terms_of
from customize.runs.held_out import spread
from customize.training.evaluation_plan import EvaluationPlan
from customize.training.recipe import Recipe

_RUN, _PACKAGE = "run", "package"
_NOT_ASKED = {
    "verdict": "not asked",
    "told": "the run's recipe evaluates on no rows, and holds out none with expect",
}


@attrs.frozen
class Task:
    """Rows that the run's evaluation asks, what they are called, and how they are asked."""

    plan: EvaluationPlan
    name: str
    rows: Sequence[Row]


def task_of(recipe: Recipe) -> Task | None:
    """The recipe's own rows, or those that it holds out where something says what is right.

    A recipe that leaves the evaluation of its run out leaves no check of a package out.

    Raises:
        DataError: the rows cannot be read.
    """
    plan = recipe.evaluation_chosen() or EvaluationPlan()
    if plan.data is not None and Path(plan.data).is_file():
        return Task(plan, plan.data, list(read(plan.data)))
    held_out = recipe.validation
    if held_out is None or not Path(held_out).is_file():
        return None
    every = read(held_out, on_bad_rows=recipe.on_bad_rows)  # type: ignore[arg-type]
    rows = spread(every, plan.max_rows)
    judged = plan.scorers or plan.judge is not None or all(row.get("expect") for row in rows)
    return Task(plan, held_out, rows) if judged else None


def is_exact(exporter: Exporter) -> bool:
    """Whether greedy answers are held to the run's, and the task need not be asked."""
    return Limits.of(exporter.precision).margin is not None


def held_to_evaluation(
    task: Task | None, exporter: Exporter, source: Exportable, session: Session, margin: float
) -> Callable[[Parity, Path], Parity] | None:
    """What to ask of a package; nothing where its weights are exact.

    Without a task the package says that it was not asked.
    """
    if is_exact(exporter):
        return None

    def further(parity: Parity, folder: Path) -> Parity:
        if task is None:
            return attrs.evolve(parity, task=_NOT_ASKED)
        base = source.model.path if exporter.needs_base(source) else None
        module, _, name = exporter.runtime.partition(":")
        opened: type[Runtime] = getattr(import_module(module), name)
        runtime = opened.open(folder, {}, base)
        try:
            return _compared(parity, task, session, runtime, margin)
        finally:
            runtime.close()

    return further


def _compared(
    parity: Parity, task: Task, session: Session, runtime: Runtime, margin: float
) -> Parity:
    adapter = runtime.adapters[0] if runtime.adapters else None
    columns = [
        SnapshotColumn(_RUN, session),
        SnapshotColumn(_PACKAGE, RuntimeSnapshot(runtime, adapter)),
    ]
    terms = attrs.evolve(terms_of(planned(task.plan), _RUN), general=0, prices={})
    evaluation = evaluate(columns, task.rows, terms, progress=AnswerProgress())
    gate = judge(evaluation, no_worse(evaluation.metric_names[0], margin, than=_RUN))
    told = {"rows": task.name, **attrs.asdict(gate)}
    if gate.verdict != "fail":
        return attrs.evolve(parity, task=told)
    lost = [item.id for item in evaluation.items if item.right(_RUN) and not item.right(_PACKAGE)]
    why = f"it is worse on the rows of {task.name}: {gate.told}"
    return attrs.evolve(parity, task=told, fault=Fault(lost[0] if lost else "all rows", why))
