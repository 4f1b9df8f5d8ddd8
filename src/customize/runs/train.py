"""train(): from a recipe to a finished run folder, going on where one was left."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import attrs

from customize._errors import CheckpointError, OptionError, RunError, Unsupported, WorkerLost
from customize._files import replace_text, writing
from customize._live_line import LiveLine
from customize._memory import forget_peak, peak_bytes
from customize._options import options_of, options_to_dict
from customize.data.dataset import IndexedDataset
from customize.data.reading import read
from customize.interfaces.backend import Adapter, Backend, Engine, LoRA, Session
from customize.interfaces.method import Method, Step
from customize.interfaces.model import ModelFolder
from customize.interfaces.observer import Observer
from customize.models import resolve
from customize.models.cache import check_writable
from customize.models.sources import check_named as check_model_named
from customize.retrieval.document_rows import document_rows, sensitive_in
from customize.runs.backends import choose_backend, quiet_libraries
from customize.runs.final_evaluation import check_named, final_evaluation, is_evaluated
from customize.runs.folder import RunFolder, folder_fingerprint, processor, versions
from customize.runs.given import Given, Source, of_python, of_recipe
from customize.runs.report import write_report
from customize.runs.run import Run
from customize.training import sealed
from customize.training.checkpoints import latest
from customize.training.lock import held
from customize.training.loop import Loop
from customize.training.observers import Observers
from customize.training.recipe import OF_A_STAGE, Recipe
from customize.training.recipe_making import into_options, trains_all_weights

Rows = Sequence[Mapping[str, Any]]
_LOST_IN_VAIN = 3  # times in a row that workers may be lost at one checkpoint


def train(
    *,
    model: str | os.PathLike[str],
    to: str | os.PathLike[str],
    data: str | os.PathLike[str] | Rows | None = None,
    method: str | Method = "sft",
    backend: str | Backend = "auto",
    validation: str | os.PathLike[str] | Rows | None = None,
    stages: Sequence[Mapping[str, Any]] = (),
    observers: Mapping[str, Mapping[str, Any]] | Sequence[str | Observer] = (),
    **settings: Any,  # the recipe's other keys, checked strictly by name, type and bounds
) -> Run:
    """Train, or go on with an unfinished run in the folder ``to``.

    ``settings`` are the recipe's other keys: ``options`` (the method's own), ``adapter``,
    ``seed``, ``evaluate_every`` and so on; an unknown one is refused. ``reward``, ``tools`` and
    ``environment`` are options that may stand beside them. ``method`` and ``backend``
    may be instances; ``data`` and ``validation`` may be lists of dicts. ``observers`` are told of
    the run, and of evaluations of the `Run` that is returned: names, names with their options, or
    instances.

    The run ends with an evaluation of its held-out rows, unless ``evaluate`` is False or says what
    is evaluated instead.

    With ``stages``, each from where the one before ended, what a stage has of its own is said in
    its dict: ``data``, ``method``, ``options``, ``name``, ``validation`` and what is measured.

    Raises:
        OptionError: settings are wrong; all faults at once.
        DataError: rows cannot be used.
        RunError: the folder holds another run.
        RunBusy: another process is at work there.
    """
    shared: dict[str, Any] = {"model": os.fspath(model), "to": os.fspath(to)}
    shared["observers"], watching = _split(observers)
    if isinstance(backend, str):
        shared["backend"] = backend
    elif "backend_options" in settings:
        raise OptionError("the backend is an instance: leave out backend_options")
    settings = into_options(settings)
    stages = [into_options(stage) for stage in stages]
    own = {"data": data, "validation": validation, "method": method}
    own = {key: value for key, value in own.items() if value is not None}
    if stages:
        del own["method"]
        shared |= own | settings | ({} if method == "sft" else {"method": method})
    else:
        own |= {key: value for key, value in settings.items() if key in OF_A_STAGE}
        shared |= {key: value for key, value in settings.items() if key not in OF_A_STAGE}
    recipe, given = of_python(shared, stages or [own], several=bool(stages))
    if not isinstance(backend, str):
        instance = {"backend": backend.name, "backend_options": _options(backend)}
        recipe = Recipe(**{**recipe.to_dict(), **instance})
    return _run(recipe, given, choose_backend(backend, recipe.backend_options), watching)


def run_recipe(recipe: Recipe) -> Run:
    """Train what a recipe says, and evaluate as it says, or on the held-out rows.

    Raises:
        GateFailed, GateInconclusive: a gate of the recipe is not passed; the run is kept.
    """
    chosen = choose_backend(recipe.backend, recipe.backend_options)
    return _run(recipe, of_recipe(recipe), chosen, ())


@attrs.frozen
class _Stage:
    """One stage, its rows read."""

    recipe: Recipe
    method: Method
    data: IndexedDataset
    validation: IndexedDataset | None

    @classmethod
    def of(cls, recipe: Recipe, given: Given) -> _Stage:
        held_out = given.validation
        return cls(
            recipe,
            given.method,
            _read(given.data, given.method, recipe),
            None if held_out is None else _read(held_out, given.method, recipe),
        )


def _run(
    recipe: Recipe, given: Sequence[Given], backend: Backend, watching: Sequence[Observer]
) -> Run:
    """The folder is the last stage's run; those before it are whole runs in folders inside."""
    quiet_libraries()  # before a backend imports them
    check_named(recipe)
    for one in given:
        _require(one.method, backend)
    _require_stacking(recipe, backend)
    if backend.name != "toy":
        check_model_named(recipe.model)  # before there is a folder for the run
    folder = RunFolder(_prepared(recipe))
    with held(folder.path):
        # The rows of every stage are read before the first is trained.
        recipes = [*recipe.before(), recipe]
        *before, last = [_Stage.of(r, g) for r, g in zip(recipes, given, strict=True)]
        if not folder.exists:  # what a method cannot make of its rows leaves a folder to begin in
            for stage in (*before, last):
                stage.method.num_steps(stage.data)
        final = final_evaluation(recipe, last.method, last.validation)
        model = None if backend.name == "toy" else resolve(recipe.model, recipe.revision)
        backend = backend.settled(folder.numerics(backend.name))
        start = recipe.adapter_chosen()
        earlier = {"stages": [stage.data.fingerprint for stage in before]} if before else {}
        lineage = {**_lineage(model, backend, last, start), **earlier}
        for told in folder.begin(recipe, lineage):
            _say(told)
        if folder.finished:
            _say(f"{folder.path} is finished: nothing to do")
            engine = None
        else:
            engine = _train_all(before, last, start, folder, backend, model, watching)
    run = Run(folder, model, backend, watching)
    if final is not None:
        if engine is not None:
            run.engine = engine  # the base that is there already
        began = time.monotonic()
        try:
            final.make(run)
        finally:
            _add_cost(folder, engine, time.monotonic() - began)
    return run


def _add_cost(folder: RunFolder, engine: Engine | None, seconds: float) -> None:
    """What the evaluation of a run took that was trained in this process."""
    cost = None if engine is None else folder.cost()
    if engine is None or cost is None or not is_evaluated(folder):
        return
    peak = cost["peak_bytes"]
    if peak is not None and engine.base().device_peak() is None:
        peak = peak_bytes()
    folder.keep_cost({**cost, "evaluation_s": seconds, "peak_bytes": peak})


def _train_all(
    before: Sequence[_Stage],
    last: _Stage,
    start: Adapter | Path,
    folder: RunFolder,
    backend: Backend,
    model: ModelFolder | None,
    watching: Sequence[Observer],
) -> Engine:
    """One stage after the other, each from the weights of the one before; returns their base."""
    check_writable()
    # The toy backend holds no model; every other is given one.
    engine = backend.load(model)  # type: ignore[arg-type]
    where = f"{model.name if model else last.recipe.model} on {backend.name}"
    _tell_defaults_of_lora((*before, last)[0])
    for number, stage in enumerate(before, start=1):
        inner = RunFolder(Path(stage.recipe.to))
        inner.path.mkdir(parents=True, exist_ok=True)
        inner.begin(stage.recipe, _lineage(model, backend, stage, start))
        if not inner.finished:
            _say(f"{type(stage.method).__name__} of {where}")
            _train(stage, partial(engine.open, start, last.recipe.seed), inner, watching)
        start = last.recipe.adapter_of_stage(number + 1, inner.weights())
    _say(f"{type(last.method).__name__} of {where}")
    _train(last, partial(engine.open, start, last.recipe.seed), folder, watching)
    return engine


def _tell_defaults_of_lora(first: _Stage) -> None:
    """An instance has them whatever is trained."""
    if not trains_all_weights(first.recipe.adapter):
        return
    for o in options_of(type(first.method)):
        if o.full is not None and getattr(first.method, o.name) == o.default:
            _say(f"{o.name} is {o.default:g}, right for LoRA; all weights want about {o.full:g}")


def _require(method: Method, backend: Backend) -> None:
    """Raises Unsupported, before anything is loaded, for what the backend does not declare."""
    missing = method.needed() - backend.capabilities() - {"forward"}
    if missing:
        raise Unsupported(
            f"{type(method).__name__} needs {', '.join(sorted(missing))}, which the backend "
            f"{backend.name!r} does not declare: choose another backend, or other options"
        )


def _require_stacking(recipe: Recipe, backend: Backend) -> None:
    stacked = recipe.adapter if isinstance(recipe.adapter, Mapping) else {}
    wanted = stacked.get("on") is not None or any("adapter" in stage for stage in recipe.stages)
    if wanted and "stack" not in backend.capabilities():
        raise Unsupported(
            "an adapter on top of another needs stack, which the backend "
            f"{backend.name!r} does not declare: leave adapter out, to continue the one there is"
        )


def _train(
    stage: _Stage, begin: Callable[[], Session], folder: RunFolder, watching: Sequence[Observer]
) -> None:
    recipe = stage.recipe
    _keep_skipped(folder, stage.data, *([stage.validation] if stage.validation else []))
    with Observers(folder.path, recipe, folder.lineage(), watching) as observers:
        loop = Loop(
            folder=folder.path,
            observers=observers,
            checkpoint_every=recipe.checkpoint_every,
            evaluate_every=recipe.evaluate_every,
            keep_best=recipe.keep_best,
            patience=recipe.patience,
            skip_not_finite=recipe.skip_not_finite,
            facts={"recipe": recipe.hash},
        )
        held = None if forget_peak() else peak_bytes()
        whole, began = not loop.checkpoints.is_dir(), time.monotonic()
        session, last, is_unbroken = _to_the_end(stage, begin, loop)
        seconds, peak = time.monotonic() - began, peak_bytes()
        cost = {
            "seconds": seconds,
            "whole": whole and is_unbroken,
            "peak_bytes": session.device_peak() or (peak if peak != held else None),
        }
        _keep_weights(recipe, loop, session, folder)
        _keep_beside(stage, session, folder)
        write_report(folder)
        folder.keep_cost(cost)
        folder.finish({"steps": last.number, "metrics": dict(last.metrics)})
        shutil.rmtree(loop.best, ignore_errors=True)
        session.close()


def _to_the_end(
    stage: _Stage, begin: Callable[[], Session], loop: Loop
) -> tuple[Session, Step, bool]:
    """A session after its last step, and whether it is the first one: no worker was lost.

    Raises:
        WorkerLost: workers are lost again and again, and the run gets no further.
    """
    lost_at: list[int] = []
    while True:
        try:
            session = begin()
            last = loop.run(stage.method, session, stage.data, stage.validation)
            return session, last, not lost_at
        except WorkerLost as error:
            kept = latest(loop.checkpoints, _say)
            lost_at.append(kept.step if kept else 0)
            if lost_at[-_LOST_IN_VAIN:] == [lost_at[-1]] * _LOST_IN_VAIN:
                raise
            _say(f"{error}: the run goes on from its last checkpoint")


def _keep_skipped(folder: RunFolder, *read: IndexedDataset) -> None:
    """Each row that was left out, with its reason."""
    left_out = [
        json.dumps({"data": data.name, **attrs.asdict(row)})
        for data in read
        for row in data.report.bad
    ]
    if left_out:
        replace_text(folder.path / "skipped.jsonl", "".join(f"{line}\n" for line in left_out))


def _keep_weights(recipe: Recipe, loop: Loop, session: Session, folder: RunFolder) -> None:
    """Copied, not moved: a run killed before its finished marker does this again."""
    fill = session.save_weights
    if recipe.keep_best:
        if fault := sealed.damage(loop.best):
            raise CheckpointError(
                f"{loop.best} is damaged ({fault}): the best weights are lost, train once more in "
                "another folder"
            )
        fill = partial(_copy, loop.best)
    with writing(str(folder.adapter)):
        sealed.write(folder.adapter, fill, {})


def _keep_beside(stage: _Stage, session: Session, folder: RunFolder) -> None:
    if type(stage.method).keep_beside is not Method.keep_beside:
        fill = partial(stage.method.keep_beside, session, stage.data)
        with writing(str(folder.assistant)):
            sealed.write(folder.assistant, fill, {})


def _copy(source: Path, to: Path) -> None:
    for name, file in sealed.files_in(source).items():
        if name != sealed.MANIFEST:
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, to / name)


def _prepared(recipe: Recipe) -> Path:
    path = Path(recipe.to)
    try:
        path.mkdir(parents=True, exist_ok=True)
        names = {p.name for p in path.iterdir() if not p.name.startswith(".")}
    except OSError as error:
        raise RunError(f"the run folder {path} cannot be made: {error.strerror}") from error
    # lineage.json is written first: alone, it is ours, of a run killed as it began.
    others = sorted(names - {"lineage.json"})
    if others and not RunFolder(path).exists:
        raise RunError(f"{path} holds other files ({others[0]}, …): give an empty folder")
    return path


def _options(instance: object) -> dict[str, Any]:
    """Its options; a backend need not have any."""
    return dict(options_to_dict(instance)) if attrs.has(type(instance)) else {}


def _read(source: Source, method: Method, recipe: Recipe) -> IndexedDataset:
    """The rows, after saying what was recognised, and what is bad, or in documents sensitive."""
    is_path = isinstance(source, str | os.PathLike)
    is_folder = is_path and Path(source).is_dir()  # type: ignore[arg-type]
    if method.data == "documents" and is_folder:
        source = document_rows(Path(source), recipe.on_bad_rows, _say)  # type: ignore[arg-type]
    rows = read(source, kind=method.data, on_bad_rows=recipe.on_bad_rows)  # type: ignore[arg-type]
    _say(rows.account())
    if method.data == "documents" and not is_folder:
        for line in sensitive_in(rows):
            _say(line)
    return rows


def _lineage(
    model: ModelFolder | None, backend: Backend, stage: _Stage, start: Adapter | Path
) -> dict[str, Any]:
    below = start.on if isinstance(start, LoRA) else start if isinstance(start, Path) else None
    went_on = {} if below is None else {"adapter": folder_fingerprint(Path(below))}
    return {
        "model": model.fingerprint if model else backend.name,
        "data": stage.data.fingerprint,
        "validation": stage.validation.fingerprint if stage.validation else None,
        **went_on,
        "backend": backend.name,
        "backend_options": dict(backend.numerics()),
        "versions": versions(),
        "processor": processor(),
    }


def _split(
    observers: Mapping[str, Mapping[str, Any]] | Sequence[str | Observer],
) -> tuple[object, Sequence[Observer]]:
    """What goes into the recipe, which checks it, and instances."""
    if isinstance(observers, (str, Mapping)):
        return observers, ()
    names = [given for given in observers if not isinstance(given, Observer)]
    return names, [given for given in observers if isinstance(given, Observer)]


def _say(text: str) -> None:
    LiveLine().say(text)
