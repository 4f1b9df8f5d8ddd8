"""The fields of a request, each read once and by name. Knows no particular request."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from customize.data.strict_json import type_name
from customize.serving.refusal import Refusal

_SHOWN = 80  # characters of a name that a client made up


class Fields:
    """``null`` is a field left out. What nobody has read at the end is refused by name.

    place: what faults call these fields, such as ``messages[2]``; empty for the request itself.
    """

    def __init__(self, given: Mapping[str, Any], place: str = "") -> None:
        self._left = {name: value for name, value in given.items() if value is not None}
        self._place = place
        self._known: set[str] = set()

    def refuse(self, name: str, reason: str) -> NoReturn:
        """Raise the refusal of a field."""
        where = self._where(name)
        raise Refusal(400, f"{where} {reason}", param=where)

    def take(self, name: str) -> Any:  # any JSON value
        """The value as it is, or None."""
        self._known.add(name)
        return self._left.pop(name, None)

    def text(self, name: str) -> str | None:
        """A string."""
        value = self.take(name)
        if value is not None and not isinstance(value, str):
            self.refuse(name, f"must be a string, not {type_name(value)}")
        return value

    def flag(self, name: str) -> bool:
        """True or false; false where it is left out."""
        value = self.take(name)
        if value is not None and not isinstance(value, bool):
            self.refuse(name, f"must be true or false, not {type_name(value)}")
        return bool(value)

    def integer(self, name: str, at_least: int, at_most: int) -> int | None:
        """A whole number."""
        value = self.take(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            self.refuse(name, f"must be a whole number (got {json.dumps(value)[:40]})")
        if not at_least <= value <= at_most:
            self.refuse(name, f"must be {at_least} to {at_most}")
        return value

    def number(self, name: str, at_least: float, at_most: float) -> float | None:
        """A number."""
        value = self.take(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            self.refuse(name, f"must be a number, not {type_name(value)}")
        if not at_least <= value <= at_most:
            self.refuse(name, f"must be {at_least:g} to {at_most:g}")
        return float(value)

    def inside(self, name: str) -> Fields | None:
        """The fields of an object."""
        value = self.take(name)
        if value is None:
            return None
        return fields_of(value, self._where(name))

    def finish(self, without: Mapping[str, Sequence[str]]) -> None:
        """Refuse what is left.

        Args:
            without: fields that the interface has and this server does not, each with the values,
                as JSON, that ask for nothing and are let through.

        Raises:
            Refusal: a field is not known, or asks for what the server does not do.
        """
        for name, value in self._left.items():
            if name not in without:
                near = difflib.get_close_matches(name[:_SHOWN], self._known, n=1)
                known = ", ".join(sorted(self._known))
                hint = f"did you mean {near[0]!r}?" if near else f"known: {known}"
                self.refuse(name, f"is not a field that this server knows; {hint}")
            if json.dumps(value) not in without[name]:
                allowed = "".join(f" or give {text}" for text in without[name][:1])
                self.refuse(name, f"is not supported by this server: leave it out{allowed}")

    def _where(self, name: str) -> str:
        return f"{self._place}.{name[:_SHOWN]}" if self._place else name[:_SHOWN]


def fields_of(value: object, place: str) -> Fields:
    """The fields of a JSON object.

    Raises:
        Refusal: it is none.
    """
    if not isinstance(value, dict):
        raise Refusal(400, f"{place} must be an object, not {type_name(value)}", param=place)
    return Fields(value, place)
