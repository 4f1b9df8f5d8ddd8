"""Gates: claims that an evaluation must show. Test nothing themselves."""

from __future__ import annotations

import re
from typing import Literal

import attrs

from customize._errors import OptionError

_WRITTEN = re.compile(r"(better|no_worse)\(\s*([\w.@/]+)\s*((?:,\s*\w+\s*=\s*[^,()]+)*)\)")
_KEYS = {"better": ("than", "slice", "of"), "no_worse": ("margin", "than", "slice", "of")}


@attrs.frozen
class Gate:
    """Made by `better` or `no_worse`; its text makes the same gate again.

    than: the column compared with; None is the rival, and for general ability the base.
    slice: ``field=value``, the rows it speaks of; all unless given.
    of: the column that is judged; None is the last, the customized model.
    """

    claim: Literal["better", "no_worse"]
    metric: str
    than: str | None = None
    margin: float = 0.0
    slice: str | None = None
    of: str | None = None

    def __str__(self) -> str:
        parts = [self.metric]
        if self.claim == "no_worse":
            parts.append(f"margin={self.margin:g}")
        parts += [f"than={self.than}"] if self.than else []
        parts += [f"slice={self.slice}"] if self.slice else []
        parts += [f"of={self.of}"] if self.of else []
        return f"{self.claim}({', '.join(parts)})"


def better(
    metric: str = "right",
    than: str | None = None,
    slice: str | None = None,
    of: str | None = None,
) -> Gate:
    """The customized model, or the column ``of``, is better: a test of superiority."""
    return Gate("better", metric, than, 0.0, slice, of)


def no_worse(
    metric: str = "right",
    margin: float = 0.05,
    than: str | None = None,
    slice: str | None = None,
    of: str | None = None,
) -> Gate:
    """It is worse by less than ``margin``, in units of the metric: a test of non-inferiority.

    Raises:
        OptionError: the margin is not above 0.
    """
    if not margin > 0:
        raise OptionError(f"no_worse needs a margin above 0, such as 0.05 (got {margin!r})")
    return Gate("no_worse", metric, than, margin, slice, of)


def parse_gate(text: str) -> Gate:
    """A gate as it is written: ``better(right, than=prompted)``, ``no_worse(general, margin=0.1)``.

    Raises:
        OptionError: it cannot be read; the message says how one is written.
    """
    found = _WRITTEN.fullmatch(text.strip())
    if not found:
        raise OptionError(
            "a gate reads better(METRIC, than=COLUMN) or no_worse(METRIC, margin=0.05) "
            f"(got {text!r})"
        )
    claim, metric, keys = found.groups()
    given = dict(_pair(part) for part in keys.split(",") if part.strip())
    for key in given:
        if key not in _KEYS[claim]:
            raise OptionError(f"{claim} has no {key!r}: there are {', '.join(_KEYS[claim])}")
    rest = given.get("than"), given.get("slice"), given.get("of")
    if claim == "better":
        return better(metric, *rest)
    return no_worse(metric, _number(given.get("margin", "0.05"), text), *rest)


def _pair(text: str) -> tuple[str, str]:
    """Of which the value may be in quotes, as in Python."""
    key, _, value = (part.strip() for part in text.partition("="))
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        value = value[1:-1]
    return key, value


def _number(text: str, gate: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise OptionError(f"{gate}: margin must be a number (got {text!r})") from None
