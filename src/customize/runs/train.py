"""train(): from a recipe to a finished run folder, going on where one was left."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial, wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import attrs

from customize._errors import OptionError, RunError, Unsupported
from customize._live_line import say
from customize._memory import peak_bytes
from customize._options import options_of, options_to_dict
from customize._structuring import Faults, unknown
from customize.interfaces.backend import Backend, Engine
from customize.interfaces.method import Method
from customize.interfaces.model import ModelFolder
from customize.interfaces.observer import Observer
from customize.interfaces.session import Adapter, Session
from customize.models import resolve
from customize.models.cache import check_writable
from customize.models.sources import check_named as check_model_named
from customize.packaging.prompts import context_of
from customize.runs.backends import choose_backend, quiet_libraries
from customize.runs.final_evaluation import check_named, final_evaluation, is_evaluated
from customize.runs.folder import RunFolder
from customize.runs.given import Given, of_python, of_recipe
from customize.runs.run import Run
from customize.runs.stage import Stage, lineage_of, train_stage
from customize.training.context import WithinContext
from customize.training.lock import held
from customize.training.recipe import OF_A_STAGE, Recipe
from customize.training.recipe_making import OF_A_METHOD, into_options, trains_all_weights

Rows = Sequence[Mapping[str, Any]]
P = ParamSpec("P")
T = TypeVar("T")


def _told_as_of_a_recipe(function: Callable[P, T]) -> Callable[P, T]:
    """The same, where a key that is missing is told as a recipe's is, beside those misspelled."""

    @wraps(function)
    def call(*args: P.args, **given: P.kwargs) -> T:
        known, faults = {o.name: o for o in options_of(Recipe)}, Faults()
        if missing := [name for name in ("model", "to") if name not in given]:
            for key in sorted(given.keys() - {*known, *OF_A_METHOD}):
                faults.add(key, unknown(key, key, list(known)))
            for name in missing:
                faults.add(name, f"{name} is missing: {known[name].help}")
        faults.raise_if_any("what train is given")
        return function(*args, **given)

    return call


@_told_as_of_a_recipe
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


def _run(
    recipe: Recipe, given: Sequence[Given], backend: Backend, watching: Sequence[Observer]
) -> Run:
    """The folder is the last stage's run; those before it are whole runs in folders inside."""
    quiet_libraries()  # before a backend imports them
    check_named(recipe)
    for one in given:
        require(one.method, backend)
    _require_stacking(recipe, backend)
    if backend.name != "toy":
        check_model_named(recipe.model)  # before there is a folder for the run
    folder = RunFolder(Path(recipe.to))
    _check_ours(folder)
    # The rows of every stage are read before the first is trained, and before there is a folder.
    recipes = [*recipe.before(), recipe]
    *before, last = [Stage.of(r, g) for r, g in zip(recipes, given, strict=True)]
    if not folder.exists:
        for stage in (*before, last):
            stage.method.num_steps(stage.data)  # refuses rows of which it can make nothing
    final = final_evaluation(recipe, last.method, last.validation)
    _make(folder.path)
    with held(folder.path):
        model = None if backend.name == "toy" else resolve(recipe.model, recipe.revision)
        backend = backend.settled(folder.numerics(backend.name))
        start = recipe.adapter_chosen()
        earlier = {"stages": [stage.data.fingerprint for stage in before]} if before else {}
        lineage = {**lineage_of(model, backend, last, start), **earlier}
        engine = None
        if not folder.exists:  # what is refused leaves a folder that another run can begin in
            engine = _loaded(backend, model)
            for stage in (*before, last):
                stage.check_ahead(engine.renderer, _context_of(model))
        for told in folder.begin(recipe, lineage, backend.may_change()):
            say(told)
        if folder.finished:
            say(f"{folder.path} is finished: nothing to do")
        else:
            engine = engine or _loaded(backend, model)
            _train_all(before, last, start, folder, engine, backend, model, watching)
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
    before: Sequence[Stage],
    last: Stage,
    start: Adapter | Path,
    folder: RunFolder,
    engine: Engine,
    backend: Backend,
    model: ModelFolder | None,
    watching: Sequence[Observer],
) -> None:
    """One stage after the other, each from the weights of the one before."""
    where = f"{model.name if model else last.recipe.model} on {backend.name}"
    begin = partial(_opened, engine, model, last.recipe.seed)
    machine = backend.machine()
    _tell_defaults_of_lora((*before, last)[0])
    for number, stage in enumerate(before, start=1):
        inner = RunFolder(Path(stage.recipe.to))
        inner.path.mkdir(parents=True, exist_ok=True)
        lineage = lineage_of(model, backend, stage, start)
        inner.begin(stage.recipe, lineage, backend.may_change())
        if not inner.finished:
            say(f"{type(stage.method).__name__} of {where}")
            train_stage(stage, partial(begin, start), inner, watching, machine)
        start = last.recipe.adapter_of_stage(number + 1, inner.weights())
    say(f"{type(last.method).__name__} of {where}")
    train_stage(last, partial(begin, start), folder, watching, machine)


def _loaded(backend: Backend, model: ModelFolder | None) -> Engine:
    """The base of all stages."""
    check_writable()
    # The toy backend holds no model; every other is given one.
    return backend.load(model)  # type: ignore[arg-type]


def _opened(engine: Engine, model: ModelFolder | None, seed: int, start: Adapter | Path) -> Session:
    """A session in which no sequence is longer than what the model says it holds."""
    session, context = engine.open(start, seed), _context_of(model)
    return session if context is None else WithinContext(session, context)


def _context_of(model: ModelFolder | None) -> int | None:
    return None if model is None else context_of(model.path)


def _tell_defaults_of_lora(first: Stage) -> None:
    """An instance has them whatever is trained."""
    if not trains_all_weights(first.recipe.adapter):
        return
    for o in options_of(type(first.method)):
        if o.full is not None and getattr(first.method, o.name) == o.default:
            say(f"{o.name} is {o.default:g}, right for LoRA; all weights want about {o.full:g}")


def require(method: Method, backend: Backend) -> None:
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
    if wanted:
        require_stacking(backend)


def require_stacking(backend: Backend) -> None:
    """Raises Unsupported where it cannot train an adapter on top of another."""
    if "stack" not in backend.capabilities():
        raise Unsupported(
            "an adapter on top of another needs stack, which the backend "
            f"{backend.name!r} does not declare: leave adapter out, to continue the one there is"
        )


def _check_ours(folder: RunFolder) -> None:
    """Raises RunError where there are files, and no run."""
    try:
        names = {p.name for p in folder.path.iterdir() if not p.name.startswith(".")}
    except FileNotFoundError:
        return
    except OSError as error:
        raise _cannot_be_made(folder.path, error) from error
    # lineage.json is written first: alone, it is ours, of a run killed as it began.
    others = sorted(names - {"lineage.json"})
    if others and not folder.exists:
        raise RunError(f"{folder.path} holds other files ({others[0]}, …): give an empty folder")


def _make(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_be_made(path, error) from error


def _cannot_be_made(path: Path, error: OSError) -> RunError:
    return RunError(f"the run folder {path} cannot be made: {error.strerror}")


def _options(instance: object) -> dict[str, Any]:
    """Its options; a backend need not have any."""
    return dict(options_to_dict(instance)) if attrs.has(type(instance)) else {}


def _split(
    observers: Mapping[str, Mapping[str, Any]] | Sequence[str | Observer],
) -> tuple[object, Sequence[Observer]]:
    """What goes into the recipe, which checks it, and instances."""
    if isinstance(observers, (str, Mapping)):
        return observers, ()
    names = [given for given in observers if not isinstance(given, Observer)]
    return names, [given for given in observers if isinstance(given, Observer)]
