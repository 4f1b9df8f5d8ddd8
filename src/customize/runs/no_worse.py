"""A quantized package held to the run's own evaluation: it must be no worse than the run.

Greedy answers of quantized weights differ from the run's whatever one does; what counts is whether
they are still right. Knows no format.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import attrs

from customize.data.reading import read
from customize.evaluation.columns import SnapshotColumn
from customize.evaluation.evaluate import evaluate
from customize.evaluation.gates import judge
from customize.evaluation.progress import AnswerProgress
from customize.interfaces.backend import Session
from customize.interfaces.exporter import Exportable, Exporter
from customize.interfaces.gate import no_worse
from customize.interfaces.runtime import Runtime
from customize.packaging.parity import Fault, Limits, Parity
from customize.packaging.snapshot import RuntimeSnapshot
from customize.runs.evaluating import planned, terms_of
from customize.training.evaluation_plan import EvaluationPlan
from customize.training.recipe import Recipe

_RUN, _PACKAGE = "run", "package"
_NOT_ASKED = {
    "verdict": "not asked",
    "told": "the run holds out no rows with expect, and its recipe evaluates on none",
}


def rows_that_judge(recipe: Recipe) -> str | None:
    """The file of rows that the run's evaluation asks: the recipe's own, or those held out.

    Held-out rows judge where each says by ``expect`` what is right.
    """
    plan = recipe.evaluation_chosen() or EvaluationPlan()
    if plan.data is not None and Path(plan.data).is_file():
        return plan.data
    held_out = recipe.validation
    if held_out is None or not Path(held_out).is_file():
        return None
    return held_out if all(row.get("expect") for row in read(held_out)) else None


def held_to_evaluation(
    plan: EvaluationPlan,
    rows: str | None,
    exporter: Exporter,
    source: Exportable,
    session: Session,
    margin: float,
) -> Callable[[Parity, Path], Parity] | None:
    """What to ask of a package; nothing where its weights are exact.

    Without rows the package says that its task was not asked.
    """
    if Limits.of(exporter.precision).margin is not None:
        return None

    def further(parity: Parity, folder: Path) -> Parity:
        if rows is None:
            return attrs.evolve(parity, task=_NOT_ASKED)
        base = source.model.path if exporter.needs_base(source) else None
        module, _, name = exporter.runtime.partition(":")
        opened: type[Runtime] = getattr(import_module(module), name)
        runtime = opened.open(folder, {}, base)
        try:
            return _compared(parity, plan, rows, session, runtime, margin)
        finally:
            runtime.close()

    return further


def _compared(
    parity: Parity,
    plan: EvaluationPlan,
    rows: str,
    session: Session,
    runtime: Runtime,
    margin: float,
) -> Parity:
    adapter = runtime.adapters[0] if runtime.adapters else None
    columns = [
        SnapshotColumn(_RUN, session),
        SnapshotColumn(_PACKAGE, RuntimeSnapshot(runtime, adapter)),
    ]
    terms = attrs.evolve(terms_of(planned(plan), _RUN), general=0, prices={})
    evaluation = evaluate(columns, list(read(rows)), terms, progress=AnswerProgress())
    gate = judge(evaluation, no_worse(evaluation.metric_names[0], margin, than=_RUN))
    task = {"rows": rows, **attrs.asdict(gate)}
    if gate.verdict != "fail":
        return attrs.evolve(parity, task=task)
    lost = [item.id for item in evaluation.items if item.right(_RUN) and not item.right(_PACKAGE)]
    told = f"it is worse on the rows of {rows}: {gate.told}"
    return attrs.evolve(parity, task=task, fault=Fault(lost[0] if lost else "all rows", told))
