"""train(): from a recipe to a finished run folder, going on where one was left."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from customize._errors import OptionError, RunError, Unsupported
from customize._options import options_to_dict
from customize.data.dataset import IndexedDataset
from customize.data.reading import read
from customize.interfaces.backend import Backend, Session
from customize.interfaces.dataset import Dataset
from customize.interfaces.method import Method
from customize.interfaces.model import ModelFolder
from customize.interfaces.observer import Observer
from customize.models import resolve
from customize.plugins import load
from customize.runs.backends import choose_backend, quiet_libraries
from customize.runs.card import write_card
from customize.runs.folder import RunFolder, versions
from customize.runs.report import write_report
from customize.runs.run import Run
from customize.training.lock import held
from customize.training.loop import Loop
from customize.training.observers import Observers
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
    if isinstance(method, str):
        recipe = make_recipe({**values, "method": method}, what="train(...)")
        method = _method(recipe)
    elif "options" in settings:
        raise OptionError("the method is an instance, with options of its own: leave out options")
    else:
        recipe = Recipe(**{**make_recipe(values).to_dict(), **_of_instance(method)})
    rows = None if isinstance(data, (str, os.PathLike)) else data
    held_out = None if isinstance(validation, (str, os.PathLike)) else validation
    return _run(recipe, method, choose_backend(backend), rows, held_out, watching)


def run_recipe(recipe: Recipe) -> Run:
    """Train what a recipe says."""
    return _run(recipe, _method(recipe), choose_backend(recipe.backend), None, None, ())


def _run(
    recipe: Recipe,
    method: Method,
    backend: Backend,
    rows: Rows | None,
    held_out: Rows | None,
    watching: Sequence[Observer],
) -> Run:
    _require(method, backend)
    folder = RunFolder(_prepared(recipe))
    with held(folder.path):
        data = _read(rows if rows is not None else recipe.data, method, recipe)
        validation = _validation(held_out, method, recipe)
        model = None if backend.name == "toy" else resolve(recipe.model, recipe.revision)
        folder.begin(recipe, _lineage(model, backend, data, validation))
        if folder.finished:
            _say(f"{folder.path} is finished: nothing to do")
        else:
            with Observers(folder.path, recipe, folder.lineage(), watching) as observers:
                _train(recipe, method, backend, folder, model, data, validation, observers)
    return Run(folder, model, backend, watching)


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
    data: Dataset,
    validation: Dataset | None,
    observers: Observers,
) -> None:
    quiet_libraries()
    name = model.name if model else recipe.model
    _say(f"{type(method).__name__} of {name} on {backend.name}")
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
    write_card(folder, recipe)
    write_report(folder)
    folder.finish({"steps": last.number, "metrics": dict(last.metrics)})
    shutil.rmtree(loop.best, ignore_errors=True)


def _keep_weights(recipe: Recipe, loop: Loop, session: Session, folder: RunFolder) -> None:
    """Copied, not moved: a run killed before its finished marker does this again."""
    if not (recipe.keep_best and loop.best.is_dir()):
        session.save_weights(folder.adapter)
        return
    shutil.rmtree(folder.adapter, ignore_errors=True)
    shutil.copytree(loop.best, folder.adapter)


def _prepared(recipe: Recipe) -> Path:
    path = Path(recipe.to)
    if path.is_dir() and any(path.iterdir()) and not RunFolder(path).exists:
        # lineage.json is written first: alone, it is ours, of a run killed as it began.
        names = {p.name for p in path.iterdir() if not p.name.startswith(".")}
        others = sorted(names - {"lineage.json"})
        if others:
            raise RunError(f"{path} holds other files ({others[0]}, …): give an empty folder")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"the run folder {path} cannot be made: {error.strerror}") from error
    return path


def _method(recipe: Recipe) -> Method:
    made: Method = load("method", recipe.method)(**recipe.options)
    return made


def _of_instance(method: Method) -> dict[str, Any]:
    kind = type(method)
    return {
        "method": f"{kind.__module__}:{kind.__qualname__}",
        "options": dict(options_to_dict(method)),
    }


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
        "versions": versions(),
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
    print(text, file=sys.stderr)
