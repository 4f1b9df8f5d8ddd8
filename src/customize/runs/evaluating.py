"""Evaluating a run: on which rows, against whom, and what is kept. Knows no statistics."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import attrs

from customize._errors import DataError, GateFailed, GateInconclusive, OptionError, RunError
from customize.data.reading import read
from customize.evaluation.answer_store import AnswerStore
from customize.evaluation.choosing import best_prompting, check_apart
from customize.evaluation.columns import Column, SnapshotColumn
from customize.evaluation.evaluate import evaluate
from customize.evaluation.evaluation import Evaluation
from customize.evaluation.gates import judged
from customize.evaluation.judging import Judge, read_labels
from customize.evaluation.judging.labels import Labels
from customize.evaluation.playing import Playing
from customize.evaluation.progress import AnswerProgress
from customize.evaluation.prompting import Prompting
from customize.evaluation.scorers import as_scorers
from customize.evaluation.suites import general as suite
from customize.evaluation.terms import Terms
from customize.interfaces.dataset import Row
from customize.interfaces.environment import Environment, Function
from customize.interfaces.gate import Gate
from customize.interfaces.index import Index
from customize.interfaces.sampling import Sampling
from customize.rollouts.driver import Driver
from customize.rollouts.judged import find_environment
from customize.runs.folder import RunFolder
from customize.runs.learnt import learnt_by
from customize.runs.report import keep
from customize.runs.run_columns import (
    Source,
    column_of,
    have_one_base,
    is_customized,
    other_column,
    prompted,
    retrieved_column,
)
from customize.training.evaluation_plan import (
    BASE,
    CUSTOMIZED,
    MAX_TURNS,
    OTHER_BASE,
    PROMPTED,
    RETRIEVED,
    SOLVED,
    EvaluationPlan,
    JudgePlan,
    check_columns,
    check_used,
    columns_of,
    judge_plan_of,
    parse_gates,
)
from customize.training.prices import prices_of

if TYPE_CHECKING:
    from customize.runs.run import Run

ANSWERS = "answers.jsonl"
Rows = str | Path | Sequence[Mapping[str, Any]]

_NO_PROMPT = "No prompt was given: the base with its best prompt is left out."
_NO_PROMPTED = (
    "Two runs are compared, and no base with its best prompt: customize evaluate NEW --prompt TEXT "
    "--against old=OLD has it beside both."
)
_NOT_KNOWN = (
    "The rows of training are not at hand (they moved, changed, or were given in Python): what "
    "the test rows share with them is not known."
)


@attrs.frozen
class Asked:
    """What an evaluation of runs is told; see `EvaluationPlan`, whose fields these are.

    max_length, observation_tokens, rewrites: as the `Driver` has them. Unless a method says so it
    restarts, as a server would show it: nothing is trained, so another sequence costs nothing.
    """

    rows: Rows | None
    prompts: Sequence[str] = ()
    shots: Sequence[int] = (0,)
    development: Rows | None = None
    against: Mapping[str, Source] = attrs.field(factory=dict)
    index: Index | str | os.PathLike[str] | None = None
    max_tokens: int = 64
    samples: int = 1
    temperature: float = 0.0
    general: bool | int = False
    scorers: Any = ()  # names, names with options, scorers or functions
    judge: JudgePlan | None = None
    slices: Sequence[str] = ("trait",)
    cluster: str | None = None
    gates: Sequence[Gate] = ()
    prices: Mapping[str, Any] = attrs.field(factory=dict)
    environment: str | Function | Environment | None = None
    max_turns: int = MAX_TURNS
    solved: float = SOLVED
    notes: Sequence[str] = ()  # what is to be told of the rows
    max_length: int = 4096
    observation_tokens: int = 2048
    rewrites: Literal["refuse", "restart"] = "restart"

    def __attrs_post_init__(self) -> None:
        check_used(self)

    def read(self) -> tuple[list[Row], Playing | None]:
        """The rows, and how they are played where there is an environment.

        Raises:
            DataError: there are none.
            OptionError: the environment cannot be used, or not with these rows.
        """
        if self.environment is None:
            if self.rows is None:
                raise DataError("give rows; an environment alone may come with its own")
            return list(read(self.rows)), None
        environment = find_environment(self.environment)
        rows = read(environment.rows() if self.rows is None else self.rows, kind="prompt")
        if environment.check is not None:
            environment.check(rows)
        sampling = Sampling(max_tokens=self.max_tokens, temperature=self.temperature)
        driver = Driver(
            environment,
            sampling,
            max_turns=self.max_turns,
            max_length=self.max_length,
            observation_tokens=self.observation_tokens,
            rewrites=self.rewrites,
        )
        return list(rows), Playing(driver, self.samples, self.solved)


def evaluate_run(run: Run, asked: Asked, to: Path | None) -> Evaluation:
    """The base, the base with its best prompt, others and the run itself, on the same rows.

    ``to`` keeps the results; a run's own folder unless given.
    """
    terms = terms_of(asked, None)
    _check_asked(run, asked, terms)
    folder = run.folder.evaluation if to is None and run.folder else to
    store = _store(folder)
    rows, playing = asked.read()
    base = column_of(run, BASE, base=True)
    retrieved = [] if asked.index is None else [retrieved_column(run, asked.index)]
    columns: list[Column] = [base]
    prompting, note = _best_prompting(base, asked, rows, store)
    if prompting != Prompting():
        columns.append(prompted(base, PROMPTED, prompting))
    columns += [other_column(one, name, prompting) for name, one in asked.against.items()]
    columns += retrieved
    columns += [column_of(run, CUSTOMIZED)] if is_customized(run) else []
    told = [] if note is None or (playing is not None and note == _NO_PROMPT) else [note]
    notes = (*asked.notes, *told)
    return _kept([run], columns, terms, asked.gates, rows, playing, notes, store, folder)


def _check_asked(run: Run, asked: Asked, terms: Terms) -> None:
    """Whatever can be known to be wrong before a model is asked."""
    names = columns_of(asked.prompts, asked.shots, asked.against, asked.index is not None)
    if not is_customized(run):
        if asked.general:
            raise OptionError("general compares a customization with its base: this is a base")
        names = names[:-1]
    check_columns(names, asked.gates, terms.prices)


def planned(plan: EvaluationPlan) -> Asked:
    """What a plan says; without ``data`` its rows are still to be given."""
    return Asked(
        rows=plan.data,
        prompts=plan.prompts,
        shots=plan.shots,
        development=plan.development,
        against=plan.against,
        index=plan.index,
        max_tokens=plan.max_tokens,
        samples=plan.samples,
        temperature=plan.temperature,
        general=plan.general,
        scorers=plan.scorers,
        judge=judge_plan_of(plan.judge),
        slices=plan.slices,
        cluster=plan.cluster,
        gates=parse_gates(plan.gates),
        prices=plan.prices,
        environment=plan.environment,
        max_turns=plan.max_turns,
        solved=plan.solved,
    )


def compare_runs(new: Run, old: Run, asked: Asked, to: Path | None) -> Evaluation:
    """Two runs on the same rows; the first is judged against the second.

    Where their bases differ, both are columns. ``to`` keeps the results; unless given a folder
    of the new run's, beside its own evaluation.
    """
    for run in (new, old):
        if run.folder is None:
            raise DataError(f"{run!r} is a base model: compare takes two runs' folders")
    assert new.folder is not None
    assert old.folder is not None
    names = _apart(old.folder, new.folder)
    columns: list[Column] = [column_of(new, BASE, base=True)]
    notes = [*asked.notes, _NO_PROMPTED]
    if not have_one_base(new, old):
        columns.append(column_of(old, OTHER_BASE, base=True))
        notes.append(
            f"{names[0]} is made of another base than {names[1]}: a change between them is one of "
            f"their bases ({OTHER_BASE}, {BASE}) too."
        )
    columns += [column_of(old, names[0]), column_of(new, names[1])]
    terms = terms_of(asked, names[0])
    check_columns([column.name for column in columns], asked.gates, terms.prices)
    folder = new.folder.compared_with(names[0]) if to is None else to
    store = _store(folder)
    rows, playing = asked.read()
    return _kept([new, old], columns, terms, asked.gates, rows, playing, notes, store, folder)


def raise_for_gates(evaluation: Evaluation) -> None:
    """Nothing where every gate is passed.

    Raises:
        GateFailed: one is not; GateInconclusive: none fails, and one needs more rows.
    """
    told = "".join(f"\n  {g.verdict}: {g.gate}: {g.told}" for g in evaluation.gates)
    if evaluation.verdict() == "fail":
        raise GateFailed(f"a gate failed:{told}")
    if evaluation.verdict() == "inconclusive":
        raise GateInconclusive(f"a gate is inconclusive:{told}")


def _kept(
    runs: Sequence[Run],
    columns: Sequence[Column],
    terms: Terms,
    gates: Sequence[Gate],
    rows: Sequence[Row],
    playing: Playing | None,
    notes: Sequence[str],
    store: AnswerStore,
    folder: Path | None,
) -> Evaluation:
    """The evaluation of the last column, a customization by the first of the runs.

    What any of the runs learnt from is looked for in the rows.
    """
    folders = [run.folder for run in runs if run.folder is not None]
    learnt = learnt_by(*folders) if folders else None
    unknown = [_NOT_KNOWN] if learnt is not None and learnt.num_missing else []
    evaluation = evaluate(
        columns,
        rows,
        terms,
        store=store,
        progress=AnswerProgress(),
        training=learnt,
        notes=(*notes, *unknown),
        playing=None if playing is None else within([run.context for run in runs], playing),
    )
    evaluation = judged(evaluation, gates)
    if folder is not None:
        keep(evaluation, folder, runs[0].folder)
    return evaluation


def within(contexts: Iterable[int | None], playing: Playing) -> Playing:
    """Played no further than what all hold, where that is known: the same episodes for each."""
    driver = playing.driver
    known = [context for context in contexts if context is not None]
    driver = attrs.evolve(driver, max_length=min([driver.max_length, *known]))
    return attrs.evolve(playing, driver=driver)


def terms_of(asked: Asked, rival: str | None) -> Terms:
    """On what an evaluation compares."""
    return Terms(
        max_tokens=asked.max_tokens,
        samples=asked.samples,
        temperature=asked.temperature,
        scorers=as_scorers(asked.scorers),
        judge=_judge(asked.judge),
        slices=asked.slices,
        cluster=asked.cluster,
        general=suite.NUM_ITEMS if asked.general is True else int(asked.general),
        rival=rival,
        prices=prices_of(asked.prices),
    )


def _judge(plan: JudgePlan | None) -> Judge | None:
    if plan is None:
        return None
    return Judge(other_column(plan.model, "the judge"), plan, labels_of(plan))


def labels_of(plan: JudgePlan) -> Labels:
    """What people said of answers, where the plan names a file of it."""
    return Labels() if plan.labels is None else read_labels(Path(plan.labels), plan.of == "pairs")


def _store(folder: Path | None) -> AnswerStore:
    """The answers kept in the folder, which is made before the first is asked for.

    Raises:
        RunError: it cannot be made.
    """
    if folder is None:
        return AnswerStore()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"the folder {folder} cannot be made: {error.strerror}") from error
    return AnswerStore(folder / ANSWERS)


def _best_prompting(
    base: SnapshotColumn, asked: Asked, rows: Sequence[Row], store: AnswerStore
) -> tuple[Prompting, str | None]:
    """How the base does best, and what is to be told of it; no prompt where none is given."""
    if not asked.prompts and max(asked.shots, default=0) == 0:
        return Prompting(), _NO_PROMPT
    if asked.development is None:
        [prompt] = asked.prompts
        return Prompting(prompt), None
    development = list(read(asked.development))
    check_apart(development, rows)
    best = best_prompting(base, asked.prompts, asked.shots, development, asked.max_tokens, store)
    return best.prompting, (
        f"The prompt was chosen of {best.num_candidates}: {best.right} of {best.num_rows} "
        "development rows right."
    )


def _apart(old: RunFolder, new: RunFolder) -> tuple[str, str]:
    """Names of two folders that differ, and are none of our own columns': as much as needed."""
    one, other = old.path.resolve(), new.path.resolve()
    if one == other:
        raise DataError(f"{old.path} and {new.path} are one run: compare takes two")
    ours = {BASE, PROMPTED, RETRIEVED, CUSTOMIZED, OTHER_BASE}
    if one.name != other.name and not ours & {one.name, other.name}:
        return one.name, other.name
    return f"{one.parent.name}/{one.name}", f"{other.parent.name}/{other.name}"
