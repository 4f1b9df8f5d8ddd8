"""What must be in an answer, and what must not. Knows texts, and no model."""

from __future__ import annotations

import re
from typing import Any

from customize._errors import OptionError
from customize._options import option, options
from customize.interfaces.dataset import Row
from customize.interfaces.scorer import Answer, Score, Scorer

Texts = str | tuple[str, ...]


def plain(text: str) -> str:
    """Without regard to case, spacing and the shape of quotes."""
    quotes = text.replace("\u2019", "'").replace("\u201c", '"').replace("\u201d", '"')
    return " ".join(quotes.casefold().split())


def reference(row: Row) -> dict[str, Any] | None:
    """The row's own answer: its last message, where an assistant says it."""
    messages = row.get("messages") or ()
    return messages[-1] if messages and messages[-1].get("role") == "assistant" else None


def references(given: Texts, row: Row) -> tuple[str, ...]:
    """The texts that were given, or else the row's own answer."""
    if given:
        return listed(given)
    own = reference(row)
    return (str(own.get("content") or ""),) if own else ()


def listed(given: Texts) -> tuple[str, ...]:
    """One text as a list of one."""
    return (given,) if isinstance(given, str) else given


def _check(value: Texts) -> None:
    if not listed(value) or not all(isinstance(t, str) and t for t in listed(value)):
        raise OptionError(f"must be a text or a list of texts, none empty (got {value!r})")


def _check_patterns(value: Texts) -> None:
    _check(value)
    for text in listed(value):
        try:
            re.compile(text)
        except re.error as error:
            raise OptionError(f"the pattern {text!r} is wrong: {error}") from error


@options
class Includes(Scorer):
    """Every text is in the answer; case and spacing do not count."""

    texts: Texts = option(help="What must be there.")

    def __attrs_post_init__(self) -> None:
        _check(self.texts)

    def score(self, answer: Answer, row: Row) -> Score:
        said = plain(answer.text)
        return all(plain(text) in said for text in listed(self.texts))


@options
class Excludes(Scorer):
    """No text is in the answer; case and spacing do not count."""

    texts: Texts = option(help="What must not be there.")

    def __attrs_post_init__(self) -> None:
        _check(self.texts)

    def score(self, answer: Answer, row: Row) -> Score:
        said = plain(answer.text)
        return not any(plain(text) in said for text in listed(self.texts))


@options
class Equals(Scorer):
    """The answer is one of the texts; case and spacing do not count."""

    texts: Texts = option(default=(), help="Right answers; the row's own unless given.")

    def score(self, answer: Answer, row: Row) -> Score:
        right = references(self.texts, row)
        return any(plain(text) == plain(answer.text) for text in right) if right else None


@options
class Exact(Scorer):
    """The answer is one of the texts, character by character."""

    texts: Texts = option(default=(), help="Right answers; the row's own unless given.")

    def score(self, answer: Answer, row: Row) -> Score:
        right = references(self.texts, row)
        return answer.text.strip() in [text.strip() for text in right] if right else None


@options
class Matches(Scorer):
    """Every pattern (Python's regular expressions) is found in the answer."""

    patterns: Texts = option(help="What must be found.")

    def __attrs_post_init__(self) -> None:
        _check_patterns(self.patterns)

    def score(self, answer: Answer, row: Row) -> Score:
        return all(re.search(pattern, answer.text) for pattern in listed(self.patterns))


@options
class Avoids(Scorer):
    """No pattern (Python's regular expressions) is found in the answer."""

    patterns: Texts = option(help="What must not be found.")

    def __attrs_post_init__(self) -> None:
        _check_patterns(self.patterns)

    def score(self, answer: Answer, row: Row) -> Score:
        return not any(re.search(pattern, answer.text) for pattern in listed(self.patterns))


@options
class MaxWords(Scorer):
    """The answer has no more words, as spaces separate them."""

    words: int = option(help="How many it may have.", at_least=1)

    def score(self, answer: Answer, row: Row) -> Score:
        return len(answer.text.split()) <= self.words
