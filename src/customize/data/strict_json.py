"""JSON as data files should hold it: what parsers usually let through is a fault here.

Duplicate keys, NaN and infinite numbers, lone surrogates, NUL characters and deep nesting are
refused by name. Knows nothing of rows' meaning.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

from customize.data.faults import RowFault

MAX_DEPTH = 100
_NAMES: dict[type, str] = {
    dict: "an object",
    list: "a list",
    str: "a string",
    bool: "true or false",
    int: "a number",
    float: "a number",
    type(None): "null",
}


def type_name(value: object) -> str:
    """What JSON calls the type of ``value``, with its article."""
    return _NAMES.get(type(value), type(value).__name__)


class _Decoder:
    """A decoder that notes faults and goes on, so that it knows where a bad value ends."""

    def __init__(self) -> None:
        self.faults: list[RowFault] = []
        self._json = json.JSONDecoder(
            object_pairs_hook=self._object,
            parse_float=self._float,
            parse_constant=self._constant,
        )

    def value(self, text: str, start: int) -> tuple[Any, int]:
        """The value that begins at ``start``, and where it ends."""
        return self._json.raw_decode(text, start)

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) != len(pairs):
            [(twice, _)] = Counter(key for key, _ in pairs).most_common(1)
            self.faults.append(RowFault("duplicate key", repr(twice)))
        return made

    def _float(self, text: str) -> float:
        number = float(text)
        if math.isinf(number):
            self.faults.append(RowFault("number is not finite", text[:20]))
        return number

    def _constant(self, text: str) -> None:
        self.faults.append(RowFault("number is not finite", text))


def decode_at(text: str, start: int) -> tuple[Any, int, RowFault | None]:
    """One value of ``text`` from ``start``, its end, and the first thing wrong with it.

    Raises:
        RowFault: there is no end to be found: the text is not JSON, or nested without bounds.
    """
    decoder = _Decoder()
    try:
        value, end = decoder.value(text, start)
    except RecursionError:
        raise _too_deep() from None
    except json.JSONDecodeError as error:
        raise RowFault("not JSON", f"{error.msg} at character {error.pos + 1}") from None
    except ValueError as error:  # a number of thousands of digits
        raise RowFault("not JSON", str(error)) from None
    fault = decoder.faults[0] if decoder.faults else _fault_inside(value, text[start:end])
    return value, end, fault


def decode(text: str) -> Any:  # any JSON value
    """The one JSON value that ``text`` is.

    Raises:
        RowFault: it is not strict JSON; the reason says in what way.
    """
    start = len(text) - len(text.lstrip(" \t\r\n"))
    if "\0" in text:
        raise RowFault("NUL character", f"at character {text.index(chr(0)) + 1}")
    value, end, fault = decode_at(text, start)
    if text[end:].strip(" \t\r\n"):
        raise RowFault("not JSON", f"something follows the value, at character {end + 1}")
    if fault:
        raise fault
    return value


def decode_object(line: bytes) -> dict[str, Any]:
    """The JSON object that one line of a file is.

    Raises:
        RowFault: it is not UTF-8, not strict JSON, or not an object.
    """
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise RowFault("not UTF-8", f"at byte {error.start + 1}") from None
    value = decode(text)
    if not isinstance(value, dict):
        raise RowFault("not an object", f"it is {type_name(value)}")
    return value


def strings(value: object, path: str = "") -> Iterator[tuple[str, str]]:
    """Every string in ``value``, keys too, each with where it is (``messages[0].content``)."""
    pending: list[tuple[str, object]] = [(path, value)]
    while pending:
        path, value = pending.pop()
        if isinstance(value, str):
            yield path, value
        elif isinstance(value, dict):
            yield from ((f"key of {path or 'the row'}", key) for key in value)
            inside = [(f"{path}.{key}" if path else key, part) for key, part in value.items()]
            pending.extend(reversed(inside))
        elif isinstance(value, list):
            pending.extend(reversed([(f"{path}[{i}]", part) for i, part in enumerate(value)]))


def _fault_inside(value: object, text: str) -> RowFault | None:
    # The text shows cheaply that most values need not be walked.
    if text.count("[") + text.count("{") > MAX_DEPTH and _depth(value) > MAX_DEPTH:
        return _too_deep()
    return fault_in_strings(value) if "\\u" in text else None


def fault_in_strings(value: object, where: str = "") -> RowFault | None:
    """What is wrong with the first string inside that no tokenizer should be given; or None."""
    for path, string in strings(value, where):
        if "\0" in string:
            return RowFault("NUL character", path)
        if any("\ud800" <= character <= "\udfff" for character in string):
            return RowFault("lone surrogate", path.encode(errors="replace").decode())
    return None


def _too_deep() -> RowFault:
    return RowFault("nested too deeply", f"more than {MAX_DEPTH} levels")


def _depth(value: object) -> int:
    level, depth = [value], 0
    while level:
        depth += 1
        inside: list[object] = []
        for part in level:
            if isinstance(part, dict):
                inside.extend(part.values())
            elif isinstance(part, list):
                inside.extend(part)
        level = inside
    return depth - 1  # the innermost level are plain values
