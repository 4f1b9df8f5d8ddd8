"""What Python gives and a recipe can only name: rows, methods, functions. Trains nothing."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import attrs

from customize._errors import OptionError, UnknownName
from customize._functions import holds_functions
from customize._options import options_to_dict
from customize.interfaces.dataset import Row
from customize.interfaces.method import Method
from customize.plugins import load
from customize.training.recipe import Recipe
from customize.training.recipe_making import make_recipe

Source = str | os.PathLike[str] | Sequence[Row]
_ROWS = re.compile(r"[0-9]+ rows")


@attrs.frozen
class Given:
    """What one stage trains with."""

    method: Method
    data: Source
    validation: Source | None = None


def of_recipe(recipe: Recipe) -> list[Given]:
    """What a recipe names, stage by stage."""
    return [
        Given(_made(stage, {}), stage.data, stage.validation)
        for stage in (*recipe.before(), recipe)
    ]


def method_of(recipe: Recipe) -> Method:
    """The method of a recipe whose run is over.

    Raises:
        UnknownName, OptionError: it, or a function that it was given, is not to be had again.
    """
    return method_class(recipe.method)(**recipe.options)


def of_python(
    shared: Mapping[str, Any], stages: Sequence[Mapping[str, Any]], several: bool
) -> tuple[Recipe, list[Given]]:
    """The recipe that names what is given, and what is given, stage by stage.

    Raises:
        OptionError: with every fault at once.
    """
    if several:
        named = [{**_name(stage), **_named(stage)} for stage in stages]
        values = {**shared, "stages": named}
    else:
        values = {**shared, **_named(stages[0])}
    recipe = _with_instances(make_recipe(values, what="train(...)"), stages)
    recipes = [*recipe.before(), recipe]
    methods = [_method(r, stage) for r, stage in zip(recipes, stages, strict=True)]
    return recipe, [
        Given(method, stage.get("data", r.data), stage.get("validation"))
        for method, r, stage in zip(methods, recipes, stages, strict=True)
    ]


def _named(stage: Mapping[str, Any]) -> dict[str, Any]:
    """A stage as a recipe has it."""
    named = dict(stage)
    for key in ("data", "validation"):
        source = stage.get(key)
        if source is None:
            named.pop(key, None)
        elif isinstance(source, (str, os.PathLike)):
            named[key] = os.fspath(source)
        elif isinstance(source, Sequence) or hasattr(source, "__len__"):
            named[key] = f"{len(source)} rows"
    method = stage.get("method")
    if isinstance(method, Method):
        if "options" in stage:
            raise OptionError(
                "the method is an instance, with options of its own: leave out options"
            )
        del named["method"]
    return named


def is_given(source: str | None) -> bool:
    """Whether a recipe's data or validation stands for rows that were given in Python."""
    return source is not None and bool(_ROWS.fullmatch(source))


def _name(stage: Mapping[str, Any]) -> dict[str, str]:
    """A stage is named by its method, and an instance by its class."""
    method = stage.get("method")
    return {"name": type(method).__name__.lower()} if isinstance(method, Method) else {}


def _with_instances(recipe: Recipe, stages: Sequence[Mapping[str, Any]]) -> Recipe:
    """The recipe with what instances say of themselves."""
    told = [
        _of_instance(stage["method"]) if isinstance(stage.get("method"), Method) else {}
        for stage in stages
    ]
    resolved = [{**s, **more} for s, more in zip(recipe.stages, told, strict=False)]
    return Recipe(**{**recipe.to_dict(), **told[-1], "stages": tuple(resolved)})


def _of_instance(method: Method) -> dict[str, Any]:
    kind = type(method)
    return {
        "method": f"{kind.__module__}:{kind.__qualname__}",
        "options": dict(options_to_dict(method)),
    }


def _method(recipe: Recipe, stage: Mapping[str, Any]) -> Method:
    method = stage.get("method")
    return method if isinstance(method, Method) else _made(recipe, stage.get("options", {}))


def _made(recipe: Recipe, given: Mapping[str, Any]) -> Method:
    """A function among the options is as it was given: the recipe only tells which it was."""
    functions = {name: value for name, value in given.items() if holds_functions(value)}
    made: Method = load("method", recipe.method)(**{**recipe.options, **functions})
    return made


def method_class(name: str) -> type[Method]:
    """What a recipe calls its method: a plugin's name for it, or the class of an instance.

    Raises:
        UnknownName, PluginError: there is none.
    """
    try:
        return load("method", name)  # type: ignore[no-any-return]  # plugins are loaded by name
    except UnknownName:
        module, _, attribute = name.partition(":")
        try:
            found = getattr(import_module(module), attribute)
        except (ImportError, AttributeError, ValueError):
            found = None
        if not (isinstance(found, type) and issubclass(found, Method)):
            raise
        return found
