"""What an answer must be like, and whether it is. Knows texts, and no model."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any

import attrs

from customize._errors import DataError

_KEYS = ("includes", "excludes", "matches", "max_words", "equals")


@attrs.frozen
class Expect:
    """Every one of these must hold; texts are compared without regard to case and spacing."""

    includes: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()
    matches: tuple[re.Pattern[str], ...] = ()
    max_words: int | None = None
    equals: tuple[str, ...] = ()


def parse_expect(value: object, where: str) -> Expect:
    """A row's ``expect``, strictly.

    Raises:
        DataError: it is missing or empty, a key is unknown, or a pattern is wrong; with ``where``.
    """
    if not isinstance(value, Mapping) or not value:
        raise DataError(f"{where} has no expect: say what a right answer is, such as includes")
    for key in value:
        if key not in _KEYS:
            near = difflib.get_close_matches(str(key), _KEYS, n=1)
            meant = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(_KEYS)}"
            raise DataError(f"{where}: unknown check {key!r}: {meant}")
    return Expect(
        includes=_texts(value, "includes", where),
        excludes=_texts(value, "excludes", where),
        matches=tuple(_pattern(text, where) for text in _texts(value, "matches", where)),
        max_words=_count(value.get("max_words"), where),
        equals=_texts(value, "equals", where),
    )


def check(expect: Expect, reply: str) -> bool:
    """Whether a reply is as expected. ``equals`` holds when one of its texts is the reply."""
    plain = _plain(reply)
    return (
        all(_plain(text) in plain for text in expect.includes)
        and not any(_plain(text) in plain for text in expect.excludes)
        and all(pattern.search(reply) for pattern in expect.matches)
        and (expect.max_words is None or len(reply.split()) <= expect.max_words)
        and (not expect.equals or any(_plain(text) == plain for text in expect.equals))
    )


def _plain(text: str) -> str:
    quotes = text.replace("\u2019", "'").replace("\u201c", '"').replace("\u201d", '"')
    return " ".join(quotes.casefold().split())


def _texts(value: Mapping[Any, Any], key: str, where: str) -> tuple[str, ...]:
    given = value.get(key, ())
    texts = (given,) if isinstance(given, str) else given
    if not isinstance(texts, (list, tuple)) or not all(isinstance(t, str) and t for t in texts):
        raise DataError(f"{where}: {key} must be a text or a list of texts (got {given!r})")
    return tuple(texts)


def _pattern(text: str, where: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise DataError(f"{where}: the pattern {text!r} is wrong: {error}") from error


def _count(value: object, where: str) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise DataError(f"{where}: max_words must be a whole number from 1 (got {value!r})")
    return value
