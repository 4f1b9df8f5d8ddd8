"""Rewards: functions that ask by name for what they need, their parts summed by weight.

Knows texts and rows, and neither tokens nor models.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

from customize._errors import OptionError
from customize._functions import load_function
from customize.interfaces.dataset import Row
from customize.interfaces.environment import Verdict
from customize.interfaces.renderer import Message

Function = Callable[..., Any]  # a person's: asked by its parameters' names
# A function, several, or weights by function; a key's type would have to be the very same.
Given = str | Function | Mapping[Any, float] | Sequence[str | Function]

OWN = ("completion", "messages", "row", "num_tokens", "truncated")


@attrs.frozen
class Group:
    """A judge of siblings: (completions, rows) to one number or parts for each."""

    function: Function

    @property
    def __wrapped__(self) -> Function:
        return self.function

    def __call__(self, completions: Sequence[str], rows: Sequence[Row]) -> Sequence[Any]:
        """What the judge says of each."""
        said = list(self.function(completions, rows))
        if len(said) != len(completions):
            name = name_of(self.function)
            raise ValueError(f"{name} judged {len(said)} of {len(completions)} completions")
        return said


def group(function: Function) -> Group:
    """Mark a reward as a judge of siblings: ``f(completions, rows) -> a number for each``.

    It sees all completions of a prompt together; where one of them failed, all are left out.
    """
    return Group(function)


@attrs.frozen
class Finished:
    """What a reward may ask for by name, beside the columns of the row."""

    completion: str
    messages: Sequence[Message]
    row: Row
    num_tokens: int
    truncated: bool


@attrs.frozen
class Part:
    """One function, and what it weighs. weight 0: only watched."""

    name: str
    function: Function
    weight: float

    @property
    def asked(self) -> tuple[str, ...]:
        """The names of what it must be given."""
        taken = inspect.signature(self.function).parameters.values()
        return tuple(p.name for p in taken if p.default is p.empty)

    @property
    def offered(self) -> tuple[str, ...]:
        """The names of all that it can be given."""
        return tuple(inspect.signature(self.function).parameters)

    def of(self, finished: Finished) -> Mapping[str, float]:
        """Its parts, by name."""
        known = {**finished.row, **{name: getattr(finished, name) for name in OWN}}
        given = {name: known[name] for name in self.offered if name in known}
        return self.named(self.function(**given))

    def named(self, value: Any) -> Mapping[str, float]:
        """A number under the function's name; parts under its name and theirs.

        Raises:
            TypeError, ValueError: it is neither, or not finite.
        """
        if isinstance(value, Mapping):
            return {f"{self.name}.{k}": number(v, f"{self.name}.{k}") for k, v in value.items()}
        return {self.name: number(value, self.name)}


@attrs.frozen
class Reward:
    """All parts of a reward."""

    parts: tuple[Part, ...]

    @classmethod
    def of(cls, given: Given) -> Reward:
        """From a function, several, or a mapping to weights; functions may be import strings.

        Raises:
            OptionError: there is none, two have one name, or a weight is no number.
        """
        weighed = (
            given.items() if isinstance(given, Mapping) else [(f, 1.0) for f in _listed(given)]
        )
        parts = tuple(_part(function, weight) for function, weight in weighed)
        names = [part.name for part in parts]
        if not parts:
            raise OptionError("reward is empty: give a function, or package.module:name")
        if len({*names}) < len(names):
            raise OptionError(f"two parts of the reward have one name: {', '.join(sorted(names))}")
        return cls(parts)

    @property
    def own(self) -> tuple[Part, ...]:
        """Those that judge an episode alone."""
        return tuple(part for part in self.parts if not isinstance(part.function, Group))

    @property
    def of_siblings(self) -> tuple[Part, ...]:
        """Those that judge a group."""
        return tuple(part for part in self.parts if isinstance(part.function, Group))

    def verdict(self, finished: Finished) -> Verdict:
        """What the parts that judge an episode alone say, and their sum."""
        found = [(part.weight, part.of(finished)) for part in self.own]
        return Verdict(
            sum(weight * value for weight, parts in found for value in parts.values()),
            {name: value for _, parts in found for name, value in parts.items()},
        )

    def among(self, completions: Sequence[str], rows: Sequence[Row]) -> list[Verdict]:
        """What the judges of siblings add to each."""
        judged = [(p, p.function(completions, rows)) for p in self.of_siblings]
        out = []
        for i in range(len(completions)):
            found = [(part.weight, part.named(values[i])) for part, values in judged]
            total = sum(w * v for w, parts in found for v in parts.values())
            out.append(Verdict(total, {k: v for _, parts in found for k, v in parts.items()}))
        return out


def overlong(limit: int, buffer: int) -> Function:
    """A part from 0 to -1 for length: it falls over the last ``buffer`` tokens before ``limit``
    (arXiv 2503.14476, soft overlong punishment)."""
    if not 0 < buffer <= limit:
        raise OptionError(f"overlong wants 0 < buffer <= limit (got {limit}, {buffer})")

    def overlong(num_tokens: int) -> float:
        return -min(1.0, max(0.0, (num_tokens - (limit - buffer)) / buffer))

    return overlong


def number(value: Any, what: str) -> float:
    """A reward as a finite number.

    Raises:
        TypeError, ValueError: it is none.
    """
    if isinstance(value, bool) or type(value).__module__ == "numpy":
        value = float(value)
    if not isinstance(value, (int, float)):
        raise TypeError(f"{what} is {str(value)[:80]!r} ({type(value).__name__}), and no number")
    if not math.isfinite(value):
        raise ValueError(f"{what} is {value}")
    return float(value)


def name_of(function: Function) -> str:
    """How a part is called."""
    found = inspect.unwrap(function)
    return str(getattr(found, "__name__", type(found).__name__))


def _listed(given: Any) -> Sequence[str | Function]:
    return given if isinstance(given, (list, tuple)) else (given,)


def _part(given: str | Function, weight: Any) -> Part:
    function = load_function(given)
    if isinstance(weight, bool) or not isinstance(weight, (int, float)):
        raise OptionError(f"the weight of {name_of(function)} must be a number (got {weight!r})")
    if isinstance(function, Group):
        _check_judge(function)
    else:
        _check_signature(function)
    return Part(name_of(function), function, float(weight))


def _check_signature(function: Function) -> None:
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise OptionError(
                f"the reward {name_of(function)} must name what it needs, as {', '.join(OWN)} or "
                f"a column of the row (got {parameter})"
            )


def _check_judge(judge: Group) -> None:
    try:
        inspect.signature(judge.function).bind((), ())
    except TypeError as error:
        name = name_of(judge.function)
        raise OptionError(f"the judge {name} must take (completions, rows): {error}") from error
