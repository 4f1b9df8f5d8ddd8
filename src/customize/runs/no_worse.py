"""A quantized package held to the run's own evaluation: it must be no worse than the run.

Greedy answers of quantized weights differ from the run's whatever one does; what counts is whether
they are still right. Knows no format.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

import attrs

from customize._errors import CustomizeError, DataError, OptionError
from customize.evaluation.columns import SnapshotColumn
from customize.evaluation.evaluate import evaluate
from customize.evaluation.gates import judge
from customize.evaluation.playing import Playing
from customize.evaluation.progress import AnswerProgress
from customize.evaluation.questions import Question, questions_of
from customize.evaluation.scorers import as_scorers
from customize.interfaces.dataset import Row
from customize.interfaces.exporter import Exportable, Exporter
from customize.interfaces.gate import no_worse
from customize.interfaces.renderer import Renderer
from customize.interfaces.runtime import Runtime
from customize.interfaces.session import Session
from customize.packaging.parity import Fault, Limits, Parity
from customize.packaging.snapshot import RuntimeSnapshot
from customize.runs.evaluating import Asked, planned, terms_of, within
from customize.runs.final_evaluation import asked_at_the_end
from customize.runs.folder import RunFolder
from customize.runs.given import is_given, method_of
from customize.runs.own_rows import called, read_again
from customize.training.evaluation_plan import EvaluationPlan
from customize.training.recipe import Recipe

_RUN, _PACKAGE = "run", "package"
_NO_ROWS = "the run's recipe evaluates on no rows, and holds out none"
_GIVEN = "the rows that the run holds out were given in Python, and cannot be read again"


@attrs.frozen
class Task:
    """Rows that the run's evaluation asks, what they are called, how they are asked and played."""

    asked: Asked
    name: str
    rows: Sequence[Row]
    playing: Playing | None = None


def task_of(folder: RunFolder) -> Task | str:
    """The run's own evaluation, on the recipe's rows or those that it holds out; or why there is
    none.

    A recipe that leaves the evaluation of its run out leaves no check of a package out.

    Raises:
        DataError: rows that the recipe names cannot be read again, or ask for nothing.
        OptionError, UnknownName: what the recipe evaluates by cannot be used.
    """
    recipe = folder.recipe()
    plan = recipe.evaluation_chosen() or EvaluationPlan()
    if plan.data is not None:
        kind = None if plan.environment is None else "prompt"
        rows = list(read_again(folder, plan.data, kind, "refuse"))
        return _task(attrs.evolve(planned(plan), rows=rows), plan.data)
    if is_given(recipe.validation):
        return _GIVEN
    if recipe.validation is not None:
        return _of_held_out(folder, recipe, plan, recipe.validation)
    return _NO_ROWS if plan.environment is None else _task(planned(plan), plan.environment)


def _of_held_out(
    folder: RunFolder, recipe: Recipe, plan: EvaluationPlan, validation: str
) -> Task | str:
    """As the run was evaluated when it ended; or why that cannot be done again."""
    try:
        method = method_of(recipe)
    except CustomizeError as error:
        return f"the run's method cannot be made again: {error}"
    held_out = read_again(folder, validation, method.data, recipe.on_bad_rows)  # type: ignore[arg-type]
    try:
        return _task(asked_at_the_end(plan, recipe, method, held_out), validation)
    except (DataError, OptionError) as error:
        return f"the rows that the run holds out cannot be asked: {error}"


def _task(asked: Asked, name: str) -> Task:
    rows, playing = asked.read()
    if playing is None:
        is_judged = bool(as_scorers(asked.scorers)) or asked.judge is not None
        questions_of(rows, need_expect=not is_judged)
    return Task(asked, called(name), rows, playing)


def is_exact(exporter: Exporter) -> bool:
    """Whether greedy answers are held to the run's, and the task need not be asked."""
    return Limits.of(exporter.precision).margin is not None


def held_to_evaluation(
    task: Task | str, exporter: Exporter, source: Exportable, session: Session, margin: float
) -> Callable[[Parity, Path], Parity] | None:
    """What to ask of a package; nothing where its weights are exact.

    Without a task the package says that it was not asked, and why.
    """
    if is_exact(exporter):
        return None

    def further(parity: Parity, folder: Path) -> Parity:
        if isinstance(task, str):
            return attrs.evolve(parity, task={"verdict": "not asked", "told": task})
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
    task = _held(task, runtime.renderer, runtime.context)
    if not task.rows:
        why = f"no row of {task.name} leaves room for an answer in {runtime.context} tokens"
        return attrs.evolve(parity, task={"verdict": "not asked", "told": why})
    playing = task.playing and within([session.context(), runtime.context], task.playing)
    adapter = runtime.adapters[0] if runtime.adapters else None
    columns = [
        SnapshotColumn(_RUN, session),
        SnapshotColumn(_PACKAGE, RuntimeSnapshot(runtime, adapter)),
    ]
    terms = attrs.evolve(terms_of(task.asked, _RUN), general=0, prices={})
    progress = AnswerProgress()
    evaluation = evaluate(columns, task.rows, terms, progress=progress, playing=playing)
    gate = judge(evaluation, no_worse(evaluation.metric_names[0], margin, than=_RUN))
    told = {"rows": task.name, **attrs.asdict(gate)}
    if gate.verdict != "fail":
        return attrs.evolve(parity, task=told)
    lost = [item.id for item in evaluation.items if item.right(_RUN) and not item.right(_PACKAGE)]
    why = f"it is worse on the rows of {task.name}: {gate.told}"
    return attrs.evolve(parity, task=told, fault=Fault(lost[0] if lost else "all rows", why))


def _held(task: Task, renderer: Renderer, room: int) -> Task:
    """The rows that a package of so many tokens can answer; where they are played, all."""
    if task.playing is not None:
        return task
    questions = questions_of(task.rows, need_expect=False)
    rows = [q.row for q in questions if _tokens(q, renderer, task.asked.max_tokens) <= room]
    name = f"{task.name} ({len(rows)} of {len(questions)} rows fit its context)"
    return task if len(rows) == len(questions) else Task(task.asked, name, rows)


def _tokens(question: Question, renderer: Renderer, max_tokens: int) -> int:
    """Of the question with an answer, or with its longest reply that is weighed."""
    beside = (question.tools, question.documents)
    replies = [question.reply(text) for text in question.row.get("choices") or ()]
    replies += question.row["messages"][len(question.messages) :]
    whole = [renderer.render([*question.messages, reply], *beside).tokens for reply in replies]
    asked = renderer.prompt(question.messages, *beside)
    return max([len(asked) + max_tokens, *map(len, whole)])
