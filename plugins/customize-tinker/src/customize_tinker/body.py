"""JSON bodies, field by field. Knows no endpoint.

A field that is asked for by nobody is refused, unless it holds what means nothing: newer clients
send new fields with empty values.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, NoReturn

from customize_tinker.refusals import unreadable

_NAMES_NOTHING: tuple[object, ...] = (None, False, 0, "", [], {})


class Body:
    """The fields of one request; each is taken once, and ``end`` refuses what is left.

    Raises:
        Refusal: the bytes are no JSON object, or a field is not what it should be.
    """

    def __init__(self, values: Mapping[str, Any], where: str = "") -> None:  # any JSON
        self._left = dict(values)
        self._where = where

    @classmethod
    def read(cls, data: bytes) -> Body:
        try:
            values = json.loads(data or b"{}", parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise unreadable(f"the body is not JSON: {error}") from None
        if not isinstance(values, dict):
            raise unreadable("the body must be a JSON object")
        return cls(values)

    def text(self, name: str, default: str | None = None) -> str:
        value = self._left.pop(name, default)
        if not isinstance(value, str):
            raise self._wrong(name, "a text", value)
        return value

    def maybe_text(self, name: str) -> str | None:
        return None if self._left.get(name) is None else self.text(name)

    def integer(
        self,
        name: str,
        default: int | None = None,
        at_least: int = 0,
        at_most: int = (1 << 63) - 1,
    ) -> int:
        value = self._left.pop(name, default)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self._wrong(name, "a whole number", value)
        if not at_least <= value <= at_most:
            raise self._wrong(name, f"from {at_least} to {at_most}", value)
        return value

    def maybe_integer(self, name: str, at_least: int = 0) -> int | None:
        return None if self._left.get(name) is None else self.integer(name, at_least=at_least)

    def number(self, name: str, default: float) -> float:
        value = self._left.pop(name, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self._wrong(name, "a number", value)
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise self._wrong(name, "a finite number", value)
        return number

    def flag(self, name: str, default: bool) -> bool:
        value = self._left.pop(name, default)
        value = default if value is None else value
        if not isinstance(value, bool):
            raise self._wrong(name, "true or false", value)
        return value

    def inner(self, name: str) -> Body:
        """The object under a name; an empty one where there is none."""
        value = self._left.pop(name, None) or {}
        if not isinstance(value, dict):
            raise self._wrong(name, "an object", value)
        return Body(value, f"{self._where}{name}.")

    def has(self, name: str) -> bool:
        return self._left.get(name) is not None

    def raw(self, name: str) -> Any:  # any JSON
        return self._left.pop(name, None)

    def labels(self, name: str) -> dict[str, Any] | None:  # whatever a client likes to keep
        value = self._left.pop(name, None)
        if value is not None and not isinstance(value, dict):
            raise self._wrong(name, "an object", value)
        if value is not None and len(json.dumps(value)) > 65536:
            raise unreadable(f"{self._where}{name} takes more than 64 KiB")
        return value

    def ignore(self, *names: str) -> None:
        """Fields that say nothing a server acts on."""
        for name in names:
            self._left.pop(name, None)

    def foreign(self) -> list[str]:
        """Names of fields that ask for something, and that nobody took."""
        self.ignore("type")
        left = ((name, value) for name, value in self._left.items() if value not in _NAMES_NOTHING)
        return [f"{self._where}{name}" for name, _ in left]

    def end(self) -> None:
        if names := self.foreign():
            raise unreadable(f"this server does not know {', '.join(sorted(names))}")

    def _wrong(self, name: str, wanted: str, value: object) -> Exception:
        if value is None:
            return unreadable(f"{self._where}{name} is missing: it must be {wanted}")
        return unreadable(f"{self._where}{name} must be {wanted} (got {repr(value)[:80]})")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")
