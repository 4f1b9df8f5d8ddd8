"""Recipes in YAML, with the line of every key, and settings from the command line.

Knows the file's form, and not what its keys mean.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml

from customize._errors import OptionError
from customize._structuring import Faults, structure
from customize.training.recipe import Recipe
from customize.training.recipe_making import make_recipe

T = TypeVar("T")

_LOCAL = ("data", "validation", "model", "adapter")
_FLAGS = ("model", "data", "to")  # keys that are options of the command line too
_ROWS = (".jsonl", ".ndjson", ".csv", ".tsv", ".parquet")
# Tags that make objects and keys that cannot be looked up count too, endless nesting, and what
# only looks like a number, as 0x_ does.
_NOT_YAML = (yaml.YAMLError, RecursionError, ValueError)
_OTHERWISE = (":float", ":bool", ":timestamp")  # tags not found as YAML 1.1 finds them


class _Loader(yaml.SafeLoader):
    """YAML 1.1, except that ``1e-4`` is a number, only true and false are truth values, and a date
    is text.
    """


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(_OTHERWISE)]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"(?:[-+]?(?:\d+\.\d*|\.\d+|\d+(?=[eE]))(?:[eE][-+]?\d+)?|[-+]?\.(?:inf|nan))$"),
    list("-+0123456789."),
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"(?:true|false|True|False)$"), list("tTfF")
)


def read_recipe(path: Path, settings: Sequence[str] = ()) -> Recipe:
    """A recipe from a file, with ``key=value`` settings over it; ``options.lr=1e-4`` goes deeper.

    Paths in the file are relative to it.

    Raises:
        OptionError: with every fault, and the line it is on.
    """
    if path.suffix.lower() in _ROWS:
        raise OptionError(f"{path} holds rows, and a recipe is YAML: give them as --data {path}")
    values, places, twice = _loaded(path, "model: smollm2")
    stages = values.get("stages")
    for inside in (values, *(stages if isinstance(stages, list) else ())):
        beside_all(path, inside, _LOCAL)
    evaluation = values.get("evaluate")
    beside_all(path, evaluation, ("data", "development"))
    if isinstance(evaluation, dict):
        beside_all(path, evaluation.get("judge"), ("labels", "model"))
    beside_all(path, values.get("adapter"), ("on",))
    for setting in settings:
        _set(values, places, setting)
    return make_recipe(values, places, str(path), twice)


def recipe_from_settings(settings: Sequence[str]) -> Recipe:
    """A recipe from ``key=value`` settings alone."""
    values: dict[str, Any] = {}
    places = {key: f"--{key}" for key in _FLAGS}
    for setting in settings:
        _set(values, places, setting)
    return make_recipe(values, places, "the command line")


def with_settings(recipe: Recipe, settings: Sequence[str]) -> Recipe:
    """A recipe of a run with ``key=value`` settings over it, as `read_recipe` takes them.

    Raises:
        OptionError: with every fault.
    """
    values, faults = json.loads(json.dumps(recipe.to_dict())), Faults()
    for setting in settings:
        _set(values, {}, setting)
    changed = structure(Recipe, values, faults)
    faults.raise_if_any("the recipe with its settings")
    assert changed is not None
    return changed


def parse_settings(settings: Sequence[str]) -> dict[str, Any]:
    """``key=value`` settings as values."""
    values: dict[str, Any] = {}
    for setting in settings:
        _set(values, {}, setting)
    return values


def options_from(
    cls: type[T],
    settings: Sequence[str],
    given: Mapping[str, Any] = {},  # never changed
) -> T:
    """An ``options`` class from ``key=value`` settings, as a command's ``--set`` has them.

    given: other values of it, which a setting overrides.

    Raises:
        OptionError: with every fault; an unknown key with the nearest that there is.
    """
    faults = Faults()
    made = structure(cls, {**given, **parse_settings(settings)}, faults)
    faults.raise_if_any("the command line")
    assert made is not None
    return made


def load_yaml(path: Path, example: str) -> tuple[dict[str, Any], dict[str, str]]:
    """A file's keys and values, and where each key stands; ``example`` is a line one may have.

    Raises:
        OptionError: it cannot be read, is not plain YAML, or has a key twice.
    """
    values, places, twice = _loaded(path, example)
    if twice:
        raise OptionError("\n".join(twice))
    return values, places


def _loaded(path: Path, example: str) -> tuple[dict[str, Any], dict[str, str], list[str]]:
    """The same, and what to say of each key that is there twice."""
    try:
        text = path.read_text("utf-8")
        node = yaml.compose(text, Loader=_Loader)
        values = yaml.load(text, Loader=_Loader)
    except OSError as error:
        raise OptionError(f"{path} cannot be read: {error.strerror}") from error
    except _NOT_YAML as error:  # UnicodeDecodeError is a ValueError
        raise OptionError(_not_yaml(path, error)) from error
    if not isinstance(node, yaml.MappingNode):
        raise OptionError(f"{path} must hold keys and values, such as '{example}'")
    places: dict[str, str] = {}
    return values, places, list(_note_places(node, lambda line: f"{path}:{line}", "", places))


def _not_yaml(path: Path, error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    place = path if mark is None else f"{path}:{mark.line + 1}"
    told = getattr(error, "problem", None) or getattr(error, "reason", None) or error
    return f"{place} is not plain YAML: {told}"


def _note_places(
    node: yaml.MappingNode, place_of: Callable[[int], str], prefix: str, places: dict[str, str]
) -> Iterator[str]:
    """Fill ``places``, by their lines; what to say of each key that is there twice."""
    for key, value in node.value:
        name = f"{prefix}{key.value}"
        place = place_of(key.start_mark.line + 1)
        if (first := places.get(name)) is not None:
            where = f", see {first}" if first != place else " in this line"
            yield f"{place}: the key {name!r} is there twice{where}"
            continue
        places[name] = place
        parts = {f"{name}.": value}
        if isinstance(value, yaml.SequenceNode):
            parts = {f"{name}.{n}.": part for n, part in enumerate(value.value, start=1)}
        for inner, part in parts.items():
            if isinstance(part, yaml.MappingNode):
                yield from _note_places(part, place_of, inner, places)


def _set(values: dict[str, Any], places: dict[str, str], setting: str) -> None:
    key, equals, text = setting.partition("=")
    if not equals or not key:
        raise OptionError(f"a setting reads key=value, such as options.lr=1e-4 (got {setting!r})")
    *parents, last = key.split(".")
    inside: Any = values
    for parent in parents:
        inside = (
            _part(inside, parent) if isinstance(inside, list) else inside.setdefault(parent, {})
        )
        if not isinstance(inside, (dict, list)):
            raise OptionError(f"--set {setting}: {parent!r} holds no keys")
    if isinstance(inside, list):
        raise OptionError(f"--set {setting}: say what is set of it, as {key}.options.lr=1e-4")
    try:
        node = yaml.compose(text, Loader=_Loader)
        inside[last] = yaml.load(text, Loader=_Loader)
    except _NOT_YAML as error:
        raise OptionError(
            f"--set {setting}: the value is not plain YAML; put text in quotes of its own, as "
            f"--set '{key}=\"...\"'"
        ) from error
    places |= _places_set(key, node, f"--{key} {text}" if key in _FLAGS else f"--set {setting}")


def _places_set(key: str, node: yaml.Node | None, place: str) -> dict[str, str]:
    """Where the key and those inside of its value were set, which is one place.

    Raises:
        OptionError: one inside is there twice.
    """
    if node is None:
        return {key: place}
    places: dict[str, str] = {}
    named = yaml.ScalarNode("tag:yaml.org,2002:str", key, node.start_mark)
    whole = yaml.MappingNode("tag:yaml.org,2002:map", [(named, node)])
    if twice := list(_note_places(whole, lambda line: place, "", places)):
        raise OptionError("\n".join(twice))
    return places


def _part(parts: list[Any], number: str) -> Any:
    """A part of a list by its number, from 1 as in the messages."""
    if not number.isdigit() or not 1 <= int(number) <= len(parts):
        raise OptionError(f"there is no part {number!r}: they are numbered 1 to {len(parts)}")
    return parts[int(number) - 1]


def beside_all(file: Path, values: Any, keys: Sequence[str]) -> None:
    """Make the texts under these keys paths beside the file; what is no mapping is left."""
    for key in keys if isinstance(values, dict) else ():
        if isinstance(values.get(key), str):
            values[key] = _beside(file, values[key])


def _beside(file: Path, value: str) -> str:
    """A path relative to the file, where such a one exists; else the text as it is."""
    local = file.parent / value
    return str(local) if not Path(value).is_absolute() and local.exists() else value


def dump(values: Mapping[str, Any]) -> str:
    """Values as YAML, in their order."""
    return yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True)
