"""train(): from a recipe to a finished run folder, going on where one was left."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import attrs

from customize._errors import CheckpointError, OptionError, RunError, Unsupported
from customize._files import replace_text, writing
from customize._options import options_to_dict
from customize.data.dataset import IndexedDataset
from customize.data.reading import read
from customize.interfaces.backend import Backend, Session
from customize.interfaces.dataset import Dataset
from customize.interfaces.method import Method
from customize.interfaces.model import ModelFolder
from customize.interfaces.observer import Observer
from customize.models import resolve
from customize.models.cache import check_writable
from customize.plugins import load
from customize.runs.backends import choose_backend, quiet_libraries
from customize.runs.evaluating import evaluate_as_planned
from customize.runs.folder import RunFolder, processor, versions
from customize.runs.report import write_report
from customize.runs.run import Run
from customize.training import sealed
from customize.training.lock import held
from customize.training.loop import Loop
from customize.training.observers import Observers
from customize.training.progress import Progress
from customize.training.recipe import Recipe, make_recipe

Rows = Sequence[Mapping[str, Any]]


def train(
    *,
    model: str | os.PathLike[str],
    data: str | os.PathLike[str] | Rows,
    to: str | os.PathLike[str],
    method: str | Method = "sft",
    backend: str | Backend = "auto",
    validation: str | os.PathLike[str] | Rows | None = None,
    observers: Mapping[str, Mapping[str, Any]] | Sequence[str | Observer] = (),
    **settings: Any,  # the recipe's other keys, checked strictly by name, type and bounds
) -> Run:
    """Train, or go on with an unfinished run in the folder ``to``.

    ``settings`` are the recipe's other keys: ``options`` (the method's own), ``adapter``,
    ``seed``, ``evaluate_every`` and so on; an unknown one is refused. ``method`` and ``backend``
    may be instances; ``data`` and ``validation`` may be lists of dicts. ``observers`` are told of
    the run, and of evaluations of the `Run` that is returned: names, names with their options, or
    instances.

    Raises:
        OptionError: settings are wrong; all faults at once.
        DataError: rows cannot be used.
        RunError: the folder holds another run.
        RunBusy: another process is at work there.
    """
    values = {**settings, "model": os.fspath(model), "to": os.fspath(to)}
    values["data"] = _named(data)
    if validation is not None:
        values["validation"] = _named(validation)
    values["observers"], watching = _split(observers)
    if isinstance(backend, str):
        values["backend"] = backend
    elif "backend_options" in settings:
        raise OptionError("the backend is an instance: leave out backend_options")
    if isinstance(method, str):
        recipe = make_recipe({**values, "method": method}, what="train(...)")
        method = _method(recipe)
    elif "options" in settings:
        raise OptionError("the method is an instance, with options of its own: leave out options")
    else:
        named = {"method": _name_of(method), "options": _options(method)}
        recipe = Recipe(**{**make_recipe(values).to_dict(), **named})
    if not isinstance(backend, str):
        given = {"backend": backend.name, "backend_options": _options(backend)}
        recipe = Recipe(**{**recipe.to_dict(), **given})
    rows = None if isinstance(data, (str, os.PathLike)) else data
    held_out = None if isinstance(validation, (str, os.PathLike)) else validation
    chosen = choose_backend(backend, recipe.backend_options)
    return _run(recipe, method, chosen, rows, held_out, watching)


def run_recipe(recipe: Recipe) -> Run:
    """Train what a recipe says, and evaluate as it says.

    Raises:
        GateFailed, GateInconclusive: a gate of the recipe is not passed; the run is kept.
    """
    chosen = choose_backend(recipe.backend, recipe.backend_options)
    return _run(recipe, _method(recipe), chosen, None, None, ())


def _run(
    recipe: Recipe,
    method: Method,
    backend: Backend,
    rows: Rows | None,
    held_out: Rows | None,
    watching: Sequence[Observer],
) -> Run:
    quiet_libraries()  # before a backend imports them
    _require(method, backend)
    folder = RunFolder(_prepared(recipe))
    with held(folder.path):
        data = _read(rows if rows is not None else recipe.data, method, recipe)
        validation = _validation(held_out, method, recipe)
        model = None if backend.name == "toy" else resolve(recipe.model, recipe.revision)
        backend = backend.settled(folder.numerics(backend.name))
        for told in folder.begin(recipe, _lineage(model, backend, data, validation)):
            _say(told)
        if folder.finished:
            _say(f"{folder.path} is finished: nothing to do")
        else:
            with Observers(folder.path, recipe, folder.lineage(), watching) as observers:
                _train(recipe, method, backend, folder, model, data, validation, observers)
    run = Run(folder, model, backend, watching)
    plan = recipe.evaluation_chosen()
    if plan is not None:
        evaluate_as_planned(run, plan)
    return run


def _require(method: Method, backend: Backend) -> None:
    """Raises Unsupported, before anything is loaded, for what the backend does not declare."""
    missing = method.needed() - backend.capabilities() - {"forward"}
    if missing:
        raise Unsupported(
            f"{type(method).__name__} needs {', '.join(sorted(missing))}, which the backend "
            f"{backend.name!r} does not declare: choose another backend, or other options"
        )


def _train(
    recipe: Recipe,
    method: Method,
    backend: Backend,
    folder: RunFolder,
    model: ModelFolder | None,
    data: IndexedDataset,
    validation: IndexedDataset | None,
    observers: Observers,
) -> None:
    check_writable()
    name = model.name if model else recipe.model
    _say(f"{type(method).__name__} of {name} on {backend.name}")
    _keep_skipped(folder, data, *([validation] if validation else []))
    # The toy backend holds no model; every other is given one.
    session = backend.load(model).open(recipe.adapter_chosen(), recipe.seed)  # type: ignore[arg-type]
    loop = Loop(
        folder=folder.path,
        observers=observers,
        checkpoint_every=recipe.checkpoint_every,
        evaluate_every=recipe.evaluate_every,
        keep_best=recipe.keep_best,
        patience=recipe.patience,
        facts={"recipe": recipe.hash},
    )
    last = loop.run(method, session, data, validation)
    _keep_weights(recipe, loop, session, folder)
    write_report(folder)
    folder.finish({"steps": last.number, "metrics": dict(last.metrics)})
    shutil.rmtree(loop.best, ignore_errors=True)


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


def _method(recipe: Recipe) -> Method:
    made: Method = load("method", recipe.method)(**recipe.options)
    return made


def _name_of(method: Method) -> str:
    kind = type(method)
    return f"{kind.__module__}:{kind.__qualname__}"


def _options(instance: object) -> dict[str, Any]:
    """Its options; a backend need not have any."""
    return dict(options_to_dict(instance)) if attrs.has(type(instance)) else {}


def _read(source: Any, method: Method, recipe: Recipe) -> IndexedDataset:
    """The rows, after saying what was recognised and each bad row that is left out."""
    rows = read(source, kind=method.data, on_bad_rows=recipe.on_bad_rows)  # type: ignore[arg-type]
    _say(rows.describe())
    if rows.rows_skipped:
        _say(rows.report.listing())
    return rows


def _validation(held_out: Rows | None, method: Method, recipe: Recipe) -> IndexedDataset | None:
    if held_out is None and recipe.validation is None:
        return None
    return _read(held_out if held_out is not None else recipe.validation, method, recipe)


def _lineage(
    model: ModelFolder | None, backend: Backend, data: Dataset, validation: Dataset | None
) -> dict[str, Any]:
    return {
        "model": model.fingerprint if model else backend.name,
        "data": data.fingerprint,
        "validation": validation.fingerprint if validation else None,
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


def _named(source: str | os.PathLike[str] | Rows) -> str:
    return os.fspath(source) if isinstance(source, (str, os.PathLike)) else f"{len(source)} rows"


def _say(text: str) -> None:
    Progress(0, 0).say(text)
