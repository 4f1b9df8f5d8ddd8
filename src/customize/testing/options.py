"""What every class with options must keep, of whatever kind. Knows no kind."""

from __future__ import annotations

from typing import Any, TypeVar

import attrs

from customize._errors import OptionError
from customize._options import Bounds, Option, options_of
from customize.testing.expecting import expect, expect_raises

T = TypeVar("T")


def changed(instance: T, **options: Any) -> T:
    """The same with other options; the type checker does not know that all have them."""
    made: T = attrs.evolve(instance, **options)  # type: ignore[misc]
    return made


def check_declared(instance: object) -> None:
    """Raises RuleBroken unless the class is frozen, and each field is an option with bounds."""
    cls = type(instance)
    expect(attrs.has(cls), f"{cls.__name__} is not made by customize.options")
    found = {option.name: option for option in options_of(cls)}
    for field in attrs.fields(cls):  # type: ignore[arg-type]
        expect(field.name in found, f"{field.name} is a field, but not a customize.option")
    for option in found.values():
        _check_option(instance, option)


def _check_option(instance: object, option: Option) -> None:
    name = option.name
    expect(bool(option.help.strip()) and "\n" not in option.help, f"{name}: help is one line")
    is_number = isinstance(option.default, (int, float)) and not isinstance(option.default, bool)
    expect(not is_number or str(option.bounds) != "", f"{name}: a number needs bounds")
    if (wrong := _outside(option.bounds)) is not None:
        expect_raises(OptionError, lambda: changed(instance, **{name: wrong}), f"{name}={wrong!r}")
    try:
        setattr(instance, name, option.default)
    except attrs.exceptions.FrozenInstanceError:
        return
    expect(False, f"{name} can be set: use customize.options, which freezes")


def _outside(bounds: Bounds) -> float | str | None:
    """A value that the bounds do not allow, or None where they allow all."""
    if bounds.choices:
        return "no such choice"
    sides = ((bounds.above, 0), (bounds.at_least, -1), (bounds.below, 0), (bounds.at_most, 1))
    return next((bound + step for bound, step in sides if bound is not None), None)
