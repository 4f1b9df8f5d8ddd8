"""Options: frozen attrs classes whose fields carry help and bounds. Knows no particular option."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar, dataclass_transform, get_type_hints

import attrs

from customize._errors import OptionError
from customize._functions import described

T = TypeVar("T")

_OPTION = "customize_option"


@attrs.frozen
class Bounds:
    """What a value may be; ``None`` where a side is open."""

    above: float | None = None
    at_least: float | None = None
    below: float | None = None
    at_most: float | None = None
    choices: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = [
            f"{sign} {bound:g}"
            for sign, bound in (
                (">", self.above),
                (">=", self.at_least),
                ("<", self.below),
                ("<=", self.at_most),
            )
            if bound is not None
        ]
        if self.choices:
            parts.append("one of " + ", ".join(self.choices))
        return " and ".join(parts)

    def allow(self, value: object) -> bool:
        """Whether ``value`` is inside; ``None`` always is (the type says whether it may be), and
        what is not finite never.
        """
        if value is None:
            return True
        if _is_endless(value):
            return False
        if self.choices:
            return value in self.choices
        if not isinstance(value, (int, float)):
            return True
        return (
            (self.above is None or value > self.above)
            and (self.at_least is None or value >= self.at_least)
            and (self.below is None or value < self.below)
            and (self.at_most is None or value <= self.at_most)
        )

    def told(self, value: object) -> str:
        """What a value must be that is not allowed."""
        return "a finite number" if _is_endless(value) else str(self)


def _is_endless(value: object) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


@attrs.frozen
class Option:
    """One option of a class made by ``options``, for help texts, docs and recipes."""

    name: str
    type: Any  # a runtime type annotation: there is no narrower type for one
    default: Any  # of that type
    help: str
    bounds: Bounds
    full: Any = None  # the same, in place of ``default`` where all weights are trained


def option(
    *,
    default: Any = attrs.NOTHING,  # the field's own type; attrs.field is typed the same way
    factory: Callable[[], Any] | None = None,
    help: str,
    above: float | None = None,
    at_least: float | None = None,
    below: float | None = None,
    at_most: float | None = None,
    choices: Sequence[str] = (),
    full: Any = None,  # of the field's own type
) -> Any:  # stands where a value of the field's type stands
    """Declare a field of an ``options`` class, with its help and what it may be.

    A value outside raises ``OptionError`` when the class is made. ``full`` is what a method that
    is named, and not an instance, has by default where all weights are trained (``adapter: full``).
    """
    bounds = Bounds(above, at_least, below, at_most, tuple(choices))

    def check(instance: object, attribute: Any, value: object) -> None:
        if not bounds.allow(value):
            raise OptionError(f"{attribute.name} must be {bounds.told(value)} (got {value!r})")

    metadata = {_OPTION: (help, bounds, full)}
    if factory is not None:
        return attrs.field(factory=factory, validator=check, metadata=metadata, kw_only=True)
    return attrs.field(default=default, validator=check, metadata=metadata, kw_only=True)


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(option,))
def options(cls: type[T]) -> type[T]:
    """Make a frozen, keyword-only attrs class whose fields are ``option``s."""
    return attrs.frozen(kw_only=True, slots=False)(cls)


def options_of(cls: type) -> Iterator[Option]:
    """The options of a class, in the order they are written."""
    hints = get_type_hints(cls)
    for field in attrs.fields(cls):
        if _OPTION in field.metadata:
            help_text, bounds, full = field.metadata[_OPTION]
            default = field.default
            if isinstance(default, attrs.Factory):  # type: ignore[arg-type]
                default = default.factory()
            yield Option(field.name, hints[field.name], default, help_text, bounds, full)


def options_to_dict(instance: object) -> Mapping[str, Any]:
    """The options of an instance as plain values, in the order they are written.

    A function is told by its name and the sha256 of its source.
    """
    values = {o.name: getattr(instance, o.name) for o in options_of(type(instance))}
    return {name: described(value) for name, value in values.items()}
