"""Plain values to a recipe, by the one strict path: Python's, a file's and the command line's."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from customize._errors import ModelError, OptionError, UnknownName
from customize._options import options_of, options_to_dict
from customize._structuring import NAMES_ELSEWHERE, Faults, structure, unknown
from customize.data.offered import OF_AN_ENVIRONMENT
from customize.data.reading import no_rows_named
from customize.interfaces.session import LoRA
from customize.models.sources import check_named as check_model_named
from customize.training.evaluation_plan import plan_of
from customize.training.recipe import OF_A_STAGE, Recipe, adapter_in

_NO_ADAPTER = "there is no adapter in {!r}; a run has one when it is finished"
# Options of methods that learn by reward, which people write beside ``data``.
OF_A_METHOD = ("reward", "tools", "environment")
_FOLDER_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")


def make_recipe(
    values: Mapping[str, Any],
    places: Mapping[str, str] | None = None,
    what: str = "the recipe",
    found: Sequence[str] = (),
) -> Recipe:
    """The one strict path: types, bounds, unknown keys; the adapter's, backend's, method's options.

    ``places`` says where each key stands (``recipe.yaml:3``); what is written there names files
    and models, and those are looked for. ``found`` is what is wrong already, to be told with the
    rest.

    Raises:
        OptionError: with every fault at once.
    """
    values, places = _inside_options(values, places or {})
    faults = Faults(places)
    for fault in found:
        faults.add("", fault)
    _check_names_written(values, places, faults)
    adapter = _check_adapter(values.get("adapter", {}), faults)
    _check_backend(values, faults)
    if isinstance(values.get("evaluate"), Mapping):
        _check_evaluation(values, faults)
    if "stages" in values:
        recipe = _staged(values, faults)
    else:
        recipe = _single(values, faults, adapter=values.get("adapter"))
    observers = _check_observers(values.get("observers", {}), faults)
    faults.raise_if_any(what)
    assert recipe is not None
    return Recipe(**{**recipe.to_dict(), "adapter": adapter, "observers": observers})


def _check_names_written(
    values: Mapping[str, Any], places: Mapping[str, str], faults: Faults
) -> None:
    """Whether the model and the rows that a file or the command line names can be there.

    Nothing is loaded or fetched. Rows that Python gives have no place.
    """
    parts: dict[str, Any] = {"": values, "evaluate.": values.get("evaluate")}
    stages = values.get("stages")
    if isinstance(stages, (list, tuple)):
        parts |= {f"stages.{number}.": stage for number, stage in enumerate(stages, start=1)}
    for prefix, part in parts.items():
        for key in ("data", "validation") if isinstance(part, Mapping) else ():
            place, named = prefix + key, part.get(key)
            if place in places and isinstance(named, str) and (why := no_rows_named(named)):
                faults.add(place, f"{place}: {why}")
    named = values.get("model")
    if "model" in places and isinstance(named, str):
        try:
            check_model_named(named)
        except (ModelError, UnknownName) as error:
            faults.add("model", f"model: {error}")


def into_options(values: Mapping[str, Any]) -> dict[str, Any]:
    """With ``reward``, ``tools`` and ``environment`` among the ``options``, which they are.

    Raises:
        OptionError: one is in both places.
    """
    beside = {key: values[key] for key in OF_A_METHOD if values.get(key) is not None}
    rest = {key: value for key, value in values.items() if key not in OF_A_METHOD}
    if not beside:
        return rest
    options = rest.get("options", {})
    if twice := [key for key in beside if key in options]:
        raise OptionError(f"{twice[0]} is there twice: leave it out of options")
    return {**rest, "options": {**options, **beside}}


def _inside_options(
    values: Mapping[str, Any], places: Mapping[str, str]
) -> tuple[Mapping[str, Any], Mapping[str, str]]:
    """The same for a whole recipe and each of its stages, and where each key stands then."""
    moved = into_options(values)
    if isinstance(values.get("stages"), (list, tuple)):
        stages = values["stages"]
        moved["stages"] = [into_options(s) if isinstance(s, Mapping) else s for s in stages]
    told = {}
    for key, place in places.items():
        prefix, _, last = key.rpartition(".")
        inside = last in OF_A_METHOD and not prefix.endswith("options")
        told[f"{prefix}.options.{last}".lstrip(".") if inside else key] = place
    return moved, told


def place_of(key: str, method: str) -> str | None:
    """Where a key stands in a recipe, as ``options.lr`` does; None where nobody reads it.

    Of a name that another library has for it, where the one of ours stands.
    """
    from customize.plugins import load, names

    known = {"": Recipe, "adapter.": LoRA}
    if method in names("method"):
        known["options."] = load("method", method)
    for name in filter(None, (key, NAMES_ELSEWHERE.get(key))):
        for prefix, cls in known.items():
            if name in (o.name for o in options_of(cls)):
                return f"{prefix}{name}"
    return None


def _single(
    values: Mapping[str, Any], faults: Faults, prefix: str = "", adapter: Any = None
) -> Recipe | None:
    """``adapter``: what is trained there, as a recipe has it."""
    values = _with_rows(values)
    method = str(values.get("method", "sft"))
    places = {str(key): place_of(str(key), method) for key in values}
    misplaced = {key: place for key, place in places.items() if place not in (None, key)}
    for key, place in misplaced.items():
        faults.add(
            prefix + key, f"unknown key {prefix + key!r}: did you mean {f'{prefix}{place}'!r}?"
        )
    rest = {key: value for key, value in values.items() if key not in misplaced}
    recipe = structure(Recipe, rest, faults, prefix)
    complete = _check_method(values, faults, prefix, trains_all_weights(adapter))
    _check_sense(values, faults, prefix)
    if recipe is None or misplaced:
        return None
    return Recipe(**{**recipe.to_dict(), "options": complete})


def _with_rows(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """With the rows of the environment that is named, where no data is given and it has some."""
    from customize.plugins.environments import is_offered, offered_environment
    from customize.plugins.references import split

    given = values.get("options", {})
    named = given.get("environment") if isinstance(given, Mapping) else None
    if "data" in values or not isinstance(named, str):
        return values
    try:
        reference, _ = split(named)
        if not is_offered(reference) or offered_environment(reference).data is None:
            return values
    except (OptionError, UnknownName):
        return values  # the method tells what is wrong with it
    return {**values, "data": f"{OF_AN_ENVIRONMENT}{named}"}


def _staged(values: Mapping[str, Any], faults: Faults) -> Recipe | None:
    """The run's keys and each stage's are checked apart, so that each fault is told once."""
    for key in OF_A_STAGE:
        if key in values:
            faults.add(key, f"{key} belongs to a stage: write it into the list stages")
    shared = {k: v for k, v in values.items() if k not in (*OF_A_STAGE, "stages")}
    run = structure(Recipe, {**shared, "data": ""}, faults)
    stages = values["stages"]
    if not isinstance(stages, (list, tuple)) or not stages:
        faults.add("stages", "stages must be a list of stages, each with its data and method")
        return None
    resolved, adapter = [], values.get("adapter")
    for number, stage in enumerate(stages, start=1):
        adapter = stage.get("adapter", adapter) if isinstance(stage, Mapping) else adapter
        resolved.append(_stage(stage, f"stages.{number}.", faults, adapter))
    _check_names([stage["name"] for stage in resolved if stage], faults)
    if run is None or not all(resolved):
        return None
    last = {key: resolved[-1][key] for key in OF_A_STAGE}
    return Recipe(**{**run.to_dict(), **last, "stages": tuple(resolved)})


def _stage(stage: Any, prefix: str, faults: Faults, adapter: Any) -> dict[str, Any]:
    """All of a stage's keys, or nothing when a fault was added; ``adapter`` is what it trains."""
    if not isinstance(stage, Mapping):
        faults.add(prefix.rstrip("."), f"{prefix}data is missing: a stage holds keys and values")
        return {}
    own = {key: value for key, value in stage.items() if key in OF_A_STAGE}
    known = ["name", "adapter", *OF_A_STAGE]
    for key in stage:
        if key not in known:
            faults.add(prefix + str(key), unknown(prefix + str(key), key, known))
    name = stage.get("name", own.get("method", "sft"))
    if not isinstance(name, str) or not _FOLDER_NAME.fullmatch(name):
        told = f"{prefix}name must be lower case letters, digits and dashes (got {name!r})"
        faults.add(f"{prefix}name", told)
    recipe = _single({"model": "", "to": "", **own}, faults, prefix, adapter)
    of_its_own = _check_adapter_of_stage(stage, prefix, faults)
    if recipe is None:
        return {}
    return {"name": name, **of_its_own, **{key: getattr(recipe, key) for key in OF_A_STAGE}}


def _check_adapter_of_stage(
    stage: Mapping[str, Any], prefix: str, faults: Faults
) -> dict[str, Any]:
    """The stage's ``adapter`` with all of LoRA's options, if it has one."""
    place, adapter = f"{prefix}adapter", stage.get("adapter")
    if "adapter" not in stage:
        return {}
    if prefix == "stages.1.":
        faults.add(place, f"{place} has nothing below it: write adapter beside stages")
    elif not isinstance(adapter, Mapping) or adapter.get("on") is not None:
        faults.add(place, f"{place} must be LoRA's options but on, which is the stage before")
    elif (lora := structure(LoRA, adapter, faults, f"{place}.")) is not None:
        return {"adapter": dict(options_to_dict(lora))}
    return {}


def _check_names(names: list[str], faults: Faults) -> None:
    for number, name in enumerate(names, start=1):
        if name in names[: number - 1]:
            told = f"two stages are named {name!r}: give this one a name of its own"
            faults.add(f"stages.{number}", told)


def _check_evaluation(values: Mapping[str, Any], faults: Faults) -> None:
    plan = plan_of(values["evaluate"], faults)
    stages = values.get("stages")
    last = stages[-1] if isinstance(stages, (list, tuple)) and stages else values
    holds_out = isinstance(last, Mapping) and last.get("validation") is not None
    if plan is not None and plan.data is None and plan.environment is None and not holds_out:
        told = "evaluate.data is missing: give rows, or hold some out with validation"
        faults.add("evaluate.data", told)


def _check_adapter(adapter: Any, faults: Faults) -> dict[str, Any] | str:
    """All of LoRA's options, defaults too, or the text that was given."""
    if isinstance(adapter, Mapping):
        lora = structure(LoRA, adapter, faults, "adapter.")
        if lora is not None and lora.on is not None and not _holds_weights(lora.on):
            faults.add("adapter.on", f"adapter.on: {_NO_ADAPTER.format(lora.on)}")
        return {} if lora is None else dict(options_to_dict(lora))
    if not isinstance(adapter, str):
        told = f"adapter must be LoRA's options, 'full' or a folder to go on from (got {adapter!r})"
        faults.add("adapter", told)
    elif adapter != "full" and not _holds_weights(adapter):
        told = "adapter must be LoRA's options, 'full', or a folder to go on from: "
        faults.add("adapter", told + _NO_ADAPTER.format(adapter))
    return str(adapter)


def _holds_weights(folder: str) -> bool:
    return any(adapter_in(Path(folder)).glob("*.safetensors"))


def _check_backend(values: Mapping[str, Any], faults: Faults) -> None:
    from customize.plugins import find, load

    given, name = values.get("backend_options", {}), values.get("backend", "auto")
    if not isinstance(given, Mapping) or not isinstance(name, str):
        return
    if name == "auto":
        if given:
            faults.add("backend_options", "backend_options are one backend's own: set backend too")
        return
    try:
        find("backend", name)
        if given:
            structure(load("backend", name), given, faults, "backend_options.")
    except UnknownName as error:
        faults.add("backend", str(error))


def trains_all_weights(adapter: Any) -> bool:
    """Whether a recipe's ``adapter`` is 'full', or a folder in which such a run left weights."""
    if not isinstance(adapter, str):
        return False
    return adapter == "full" or (adapter_in(Path(adapter)) / "model.safetensors").is_file()


def _check_method(
    values: Mapping[str, Any], faults: Faults, prefix: str, all_weights: bool
) -> dict[str, Any]:
    """All the method's options, defaults too, so that a run says what it did."""
    from customize.plugins import load

    given = values.get("options", {})
    if not isinstance(given, Mapping) or not isinstance(values.get("method", "sft"), str):
        return {}
    try:
        cls = load("method", values.get("method", "sft"))
    except UnknownName as error:
        faults.add(f"{prefix}method", str(error))
        return {}
    of_full = {o.name: o.full for o in options_of(cls) if all_weights and o.full is not None}
    method = structure(cls, {**of_full, **given}, faults, f"{prefix}options.")
    return {} if method is None else dict(options_to_dict(method))


def _check_observers(given: Any, faults: Faults) -> dict[str, dict[str, Any]]:
    """All their options, as the method's; what is neither names nor a mapping was told."""
    from customize.plugins import load

    if isinstance(given, (list, tuple)):
        given = {name: {} for name in given if isinstance(name, str)}
    complete = {}
    for name, chosen in given.items() if isinstance(given, Mapping) else ():
        place = f"observers.{name}"
        try:
            cls = load("observer", str(name))
        except UnknownName as error:
            faults.add(place, str(error))
            continue
        if not isinstance(chosen, Mapping):
            faults.add(place, f"{place} must be its options, or {{}} (got {chosen!r})")
        elif (observer := structure(cls, chosen, faults, f"{place}.")) is not None:
            complete[name] = dict(options_to_dict(observer))
    return complete


def _check_sense(values: Mapping[str, Any], faults: Faults, prefix: str) -> None:
    for key in ("evaluate_every", "keep_best", "patience"):
        if values.get(key) and values.get("validation") is None:
            faults.add(prefix + key, f"{prefix}{key} needs held-out rows: set validation")
    for key in ("keep_best", "patience"):
        if values.get(key) and not values.get("evaluate_every"):
            told = f"{prefix}{key} needs evaluate_every, the steps between measures"
            faults.add(prefix + key, told)
