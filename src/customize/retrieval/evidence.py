"""Where a text holds an answer. Knows texts alone."""

from __future__ import annotations

import re

from customize.retrieval.grams import RUNS
from customize.retrieval.sentences import Span

_RUN = re.compile(f"[{RUNS}]")
# Part of a word that ends at a space; characters of other scripts may stand beside it.
_WORD = rf"[^\W{RUNS}]"
_NUMERALS = "〇零一二三四五六七八九十百千万萬亿億兆"
_TIMES = "十百千万萬亿億兆십백천만억조"  # after digits: more of the number

# What an answer begins after, and ends before, by its own first and last character.
_ANYWHERE = re.compile("")
_AFTER_NO_NUMERAL = re.compile(rf"(?<![{_NUMERALS}])")
_BEFORE_NO_NUMERAL = re.compile(rf"(?![{_NUMERALS}])")
_AFTER_NO_WORD = re.compile(
    rf"(?<!{_WORD})(?:(?<![$€£¥￥₩.,:/-])|(?<=[{RUNS}][.,:/-]))(?<!\d[：．])"
)
_BEFORE_NO_WORD = re.compile(rf"(?!{_WORD}|[%％]|[.,:/-]{_WORD})")
_BEFORE_NO_NUMBER = re.compile(rf"(?!{_WORD}|[%％{_TIMES}]|[.,:/-]{_WORD}|[：．]\d)")


def find_answer(answer: str, text: str) -> list[Span]:
    """Where the answer stands on its own: ``6`` is not in ``16``, ``6:30`` or ``$6``.

    An end of it in a script without spaces, or in Korean, whose words have endings, may be in the
    middle of a run: ``北京`` is in ``在北京的``, and ``9시`` in ``9시에`` but not in ``19시에``.
    """
    words = answer.split()
    if not words:
        return []
    said = re.compile(r"\s+".join(map(re.escape, words)), re.IGNORECASE)
    begins, ends = _begins(words[0][0]), _ends("".join(words))
    found, start = [], 0
    while (match := said.search(text, start)) is not None:
        start = match.start() + 1
        if begins.match(text, match.start()) and ends.match(text, match.end()):
            found.append(match.span())
            start = match.end()
    return found


def _begins(first: str) -> re.Pattern[str]:
    """Where an answer with this first character can begin."""
    if first in _NUMERALS:
        return _AFTER_NO_NUMERAL
    is_free = not first.isalnum() or _RUN.match(first)
    return _ANYWHERE if is_free else _AFTER_NO_WORD


def _ends(answer: str) -> re.Pattern[str]:
    """Where it can end: 周三 before any numeral, and 三十 before none."""
    if set(answer) <= set(_NUMERALS):
        return _BEFORE_NO_NUMERAL
    if _RUN.match(answer[-1]):
        return _ANYWHERE
    return _BEFORE_NO_NUMBER if answer[-1].isdigit() else _BEFORE_NO_WORD
