"""Evaluating a run: who answers, on which rows, and what is kept. Knows no statistics."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from customize._errors import DataError, GateFailed, GateInconclusive, OptionError, RunError
from customize._options import options_to_dict
from customize.data.dataset import IndexedDataset
from customize.data.reading import read
from customize.evaluation.answer_store import AnswerStore
from customize.evaluation.choosing import best_prompting, check_apart
from customize.evaluation.columns import Column, SnapshotColumn
from customize.evaluation.cost import prices_of
from customize.evaluation.endpoints import Endpoint, EndpointColumn
from customize.evaluation.evaluate import evaluate
from customize.evaluation.evaluation import Evaluation
from customize.evaluation.families import family_of
from customize.evaluation.gates import check_columns, judged
from customize.evaluation.judging import Judge, read_labels
from customize.evaluation.judging.labels import Labels
from customize.evaluation.playing import Playing
from customize.evaluation.progress import AnswerProgress
from customize.evaluation.prompting import Prompting
from customize.evaluation.scorers import as_scorers
from customize.evaluation.suites import general as suite
from customize.evaluation.terms import Terms
from customize.interfaces.backend import Sampling
from customize.interfaces.dataset import Row
from customize.interfaces.environment import Environment, Function
from customize.interfaces.gate import Gate
from customize.rollouts.driver import Driver
from customize.rollouts.judged import find_environment
from customize.runs.folder import RunFolder
from customize.runs.report import keep
from customize.training.evaluation_plan import (
    EvaluationPlan,
    JudgePlan,
    check_played,
    judge_plan_of,
    parse_gates,
)

if TYPE_CHECKING:
    from customize.runs.run import Run

ANSWERS = "answers.jsonl"
Rows = str | Path | Sequence[Mapping[str, Any]]

_NO_PROMPT = "No prompt was given: the base with its best prompt is left out."


@attrs.frozen
class Asked:
    """What an evaluation of runs is told; see `EvaluationPlan`, whose fields these are."""

    rows: Rows | None
    prompts: Sequence[str] = ()
    shots: Sequence[int] = (0,)
    development: Rows | None = None
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
    max_turns: int = 16
    solved: float = 1.0

    def __attrs_post_init__(self) -> None:
        if self.environment is not None:
            check_played(self)

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
        # As a server would show it: nothing is trained, so another sequence costs nothing.
        driver = Driver(environment, sampling, max_turns=self.max_turns, rewrites="restart")
        return list(rows), Playing(driver, self.samples, self.solved)


def evaluate_run(
    run: Run, asked: Asked, others: Mapping[str, Column], to: Path | None
) -> Evaluation:
    """The base, the base with its best prompt, others and the run itself, on the same rows.

    ``to`` keeps the results; a run's own folder unless given.
    """
    terms = terms_of(asked, None)
    folder = run.folder.evaluation if to is None and run.folder else to
    store = _store(folder)
    rows, playing = asked.read()
    base = column_of(run, "base", base=True)
    columns: list[Column] = [base]
    notes = []
    if asked.prompts or max(asked.shots, default=0) > 0:
        prompted, note = _prompted(base, asked, rows, store)
        columns.append(prompted)
        notes += [note] if note else []
    elif playing is None:
        notes.append(_NO_PROMPT)
    columns += others.values()
    if run.folder is not None or run.adapter is not None:
        columns.append(column_of(run, "customized"))
    elif asked.general:
        raise OptionError("general compares a customization with its base: this is a base")
    return _kept(run, columns, terms, asked.gates, rows, playing, notes, store, folder)


def evaluate_as_planned(run: Run, plan: EvaluationPlan) -> Evaluation:
    """What a recipe asks for at the end of its run.

    Raises:
        GateFailed, GateInconclusive: a gate is not passed; the results are kept all the same.
    """
    evaluation = evaluate_run(run, planned(plan), {}, None)
    run.tell(evaluation)
    raise_for_gates(evaluation)
    return evaluation


def planned(plan: EvaluationPlan) -> Asked:
    """What a plan says."""
    return Asked(
        rows=plan.data,
        prompts=plan.prompts,
        shots=plan.shots,
        development=plan.development,
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
    """Two runs on the same rows; the second is judged against the first."""
    for run in (new, old):
        if run.folder is None:
            raise DataError(f"{run!r} is a base model: compare takes two runs' folders")
    assert new.folder is not None
    assert old.folder is not None
    names = _apart(old.folder, new.folder)
    terms = terms_of(asked, names[0])
    folder = new.folder.evaluation if to is None else to
    store = _store(folder)
    columns: list[Column] = [column_of(new, "base", base=True)]
    columns += [column_of(old, names[0]), column_of(new, names[1])]
    rows, playing = asked.read()
    return _kept(new, columns, terms, asked.gates, rows, playing, [], store, folder)


def other_column(source: str | os.PathLike[str] | Run | Endpoint, name: str) -> Column:
    """A run, a model or an endpoint, or what names one, as a column."""
    from customize.runs.run import Run, open

    if isinstance(source, str) and "://" in source:
        source = Endpoint.parse(source)
    if isinstance(source, Endpoint):
        return EndpointColumn(name, source)
    return column_of(source if isinstance(source, Run) else open(source), name)


def column_of(run: Run, name: str, base: bool = False) -> SnapshotColumn:
    """A run, or its base, as a column."""
    fingerprint, weights = fingerprint_of(run, base), _weights(run)
    if base or weights is None:
        return SnapshotColumn(
            name,
            run.base,
            fingerprint=fingerprint,
            told=f"the base, {_named(run)}",
            family=_family(run),
        )
    told = str(run.folder.path if run.folder else weights)
    return SnapshotColumn(
        name, run.customized, fingerprint=fingerprint, told=told, family=_family(run)
    )


def fingerprint_of(run: Run, base: bool = False) -> str:
    """What a run's answers, or its base's, are a function of; loads nothing."""
    weights = _weights(run)
    return _base(run) if base or weights is None else f"{_base(run)} {_hash(weights)}"


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
    run: Run,
    columns: Sequence[Column],
    terms: Terms,
    gates: Sequence[Gate],
    rows: Sequence[Row],
    playing: Playing | None,
    notes: Sequence[str],
    store: AnswerStore,
    folder: Path | None,
) -> Evaluation:
    check_columns(gates, [column.name for column in columns])
    evaluation = evaluate(
        columns,
        rows,
        terms,
        store=store,
        progress=AnswerProgress(),
        training=_training_rows(run),
        notes=notes,
        playing=playing,
    )
    evaluation = judged(evaluation, gates)
    if folder is not None:
        keep(evaluation, folder, run.folder)
    return evaluation


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
    labels = Labels() if plan.labels is None else read_labels(Path(plan.labels), plan.of == "pairs")
    return Judge(other_column(plan.model, "the judge"), plan, labels)


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


def _prompted(
    base: SnapshotColumn, asked: Asked, rows: Sequence[Row], store: AnswerStore
) -> tuple[SnapshotColumn, str | None]:
    name = "prompted"
    if asked.development is None:
        [prompt] = asked.prompts
        chosen, note = Prompting(prompt), None
    else:
        development = list(read(asked.development))
        check_apart(development, rows)
        best = best_prompting(
            base, asked.prompts, asked.shots, development, asked.max_tokens, store
        )
        chosen = best.prompting
        note = (
            f"The prompt was chosen of {best.num_candidates}: {best.right} of {best.num_rows} "
            "development rows right."
        )
    told = f"{base.told}; prompt: {chosen.told}"
    return attrs.evolve(base, name=name, prompting=chosen, told=told), note


def _training_rows(run: Run) -> IndexedDataset | None:
    """The rows the run learnt from, where they are still there and the same."""
    if run.folder is None or not Path(run.folder.recipe().data).is_file():
        return None
    data = read(run.folder.recipe().data, on_bad_rows="skip")
    return data if data.fingerprint == run.folder.lineage()["data"] else None


def _apart(old: RunFolder, new: RunFolder) -> tuple[str, str]:
    """Names of two folders that differ: as much of each path as needed."""
    one, other = old.path.resolve(), new.path.resolve()
    if one == other:
        raise DataError(f"{old.path} and {new.path} are one run: compare takes two")
    if one.name != other.name:
        return one.name, other.name
    return f"{one.parent.name}/{one.name}", f"{other.parent.name}/{other.name}"


def _weights(run: Run) -> Path | None:
    return run.folder.weights() if run.folder else run.adapter


def _named(run: Run) -> str:
    return run.model.name if run.model else run.backend.name


def _family(run: Run) -> str | None:
    """By the model's name, or else by what its configuration says that it is."""
    if run.model is None:
        return None
    config = json.loads((run.model.path / "config.json").read_text("utf-8"))
    return family_of(run.model.name) or family_of(str(config.get("model_type", "")))


def _base(run: Run) -> str:
    """What a base's answers are a function of: its weights, and what computes with them."""
    known = attrs.has(type(run.backend))
    options = dict(options_to_dict(run.backend)) if known else {}
    return f"{run.backend.name} {options} {run.model.fingerprint if run.model else ''}"


def _hash(folder: Path) -> str:
    found = hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            found.update(file.name.encode())
            with file.open("rb") as stream:
                found.update(hashlib.file_digest(stream, "sha256").digest())
    return found.hexdigest()
