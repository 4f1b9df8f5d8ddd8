"""Plain values to options, all faults at once. Knows types and bounds, and no file format."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from customize._errors import OptionError
from customize._options import Option, options_of

T = TypeVar("T")

_NAMES: dict[object, str] = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
    Mapping: "keys and values",
    tuple: "a list",
}
# What transformers, PEFT and TRL call an option, and its name here. None is taken for the other.
NAMES_ELSEWHERE = {
    "dataset_name": "data",
    "early_stopping_patience": "patience",
    "eval_steps": "evaluate_every",
    "learning_rate": "lr",
    "load_best_model_at_end": "keep_best",
    "lora_alpha": "alpha",
    "lora_r": "rank",
    "lr_scheduler_type": "schedule",
    "max_completion_length": "max_tokens",
    "max_new_tokens": "max_tokens",
    "max_seq_length": "max_length",
    "max_steps": "steps",
    "model_name_or_path": "model",
    "num_generations": "group_size",
    "num_iterations": "updates",
    "num_train_epochs": "epochs",
    "output_dir": "to",
    "per_device_train_batch_size": "batch_size",
    "r": "rank",
    "report_to": "observers",
    "save_steps": "checkpoint_every",
    "target_modules": "targets",
    "use_rslora": "rslora",
    "warmup_ratio": "warmup",
}


class Faults:
    """What is wrong, collected, each with its place where one is known."""

    def __init__(self, places: Mapping[str, str] | None = None) -> None:
        self._places = places or {}
        self._found: list[str] = []

    def add(self, key: str, text: str) -> None:
        place = self._places.get(key)
        self._found.append(f"{place}: {text}" if place else text)

    def raise_if_any(self, what: str) -> None:
        """Raises OptionError with every fault."""
        if self._found:
            lines = "".join(f"\n  {fault}" for fault in self._found)
            raise OptionError(f"{what} cannot be used:{lines}")


def structure(
    cls: type[T], values: Mapping[str, Any], faults: Faults, prefix: str = ""
) -> T | None:
    """An instance of an ``options`` class, or None when a fault was added."""
    known = {o.name: o for o in options_of(cls)}
    good: dict[str, Any] = {}
    sound = certain = (
        True  # certain: what is good was meant so, and rules between options hold of it
    )
    for key, value in values.items():
        place = f"{prefix}{key}"
        if key not in known:
            faults.add(place, unknown(place, key, list(known)))
            sound, certain = False, certain and _meant(key, list(known)) is None
            continue
        try:
            good[key] = _checked(known[key], value)
        except OptionError as error:
            faults.add(place, f"{prefix}{error}")
            sound = certain = False
    for name, o in known.items():
        if name not in values and _required(o):
            faults.add(prefix + name, f"{prefix}{name} is missing: {o.help}")
            sound = certain = False
    made = _made(cls, good, faults, prefix) if certain else None
    return made if sound else None


def unknown(place: str, key: str, known: Sequence[str]) -> str:
    """What to say of a key that nobody reads."""
    meant, prefix = _meant(key, known), place.removesuffix(str(key))
    told = f": did you mean {prefix + meant!r}?" if meant else f": there are {', '.join(known)}"
    return f"unknown key {place!r}{told}"


def _meant(key: str, known: Sequence[str]) -> str | None:
    """The known key that was meant, most likely."""
    elsewhere = NAMES_ELSEWHERE.get(str(key))
    near = difflib.get_close_matches(str(key), known, n=1)
    return elsewhere if elsewhere in known else next(iter(near), None)


def coerce(value: Any, wanted: Any) -> Any:
    """``value`` as the type an option has; whole numbers are numbers, lists are tuples.

    Raises:
        OptionError: it is of another type; the message says which was wanted.
    """
    origin, arguments = typing.get_origin(wanted), typing.get_args(wanted)
    if wanted is Any:
        return value
    if origin in (types.UnionType, typing.Union):
        return _one_of(value, arguments)
    if origin is tuple and isinstance(value, (list, tuple)):
        return tuple(coerce(item, arguments[0]) for item in value)
    if origin is not None and origin is not tuple:
        return value if isinstance(value, origin) else _refuse(value, _named(origin))
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if wanted is not bool and isinstance(value, bool):
        return _refuse(value, _named(wanted))
    if isinstance(wanted, type) and isinstance(value, wanted):
        return value
    return _refuse(value, _named(wanted))


def _named(wanted: Any) -> str:
    """A type as a person calls it."""
    kind = typing.get_origin(wanted) or wanted
    return _NAMES.get(kind, getattr(kind, "__name__", str(kind)))


def _checked(o: Option, value: Any) -> Any:
    try:
        value = coerce(value, o.type)
    except OptionError as error:
        raise OptionError(f"{o.name} {error}") from None
    if not o.bounds.allow(value):
        raise OptionError(f"{o.name} must be {o.bounds.told(value)} (got {value!r})")
    return value


def _one_of(value: Any, wanted: Sequence[Any]) -> Any:
    if value is None and type(None) in wanted:
        return None
    for one in wanted:
        try:
            return coerce(value, one)
        except OptionError:
            continue
    named = [_named(w) for w in wanted if w is not type(None)]
    return _refuse(value, " or ".join(named))


def _refuse(value: Any, wanted: str) -> typing.NoReturn:
    raise OptionError(f"must be {wanted} (got {value!r})")


def _required(o: Option) -> bool:
    import attrs

    return o.default is attrs.NOTHING


def _made(cls: type[T], good: Mapping[str, Any], faults: Faults, prefix: str) -> T | None:
    try:
        return cls(**good)
    except OptionError as error:
        faults.add(prefix.rstrip("."), str(error))
        return None
