"""Where sentences end. Knows no tokens and no documents."""

from __future__ import annotations

import re
from collections.abc import Iterator

Span = tuple[int, int]

# After a stop and spaces; after a stop of Chinese or Japanese; an empty line; a line that begins
# an item, a row, a quotation or a heading; an end of line after a heading.
_END = re.compile(
    r"(?<=[.!?\u2026])[\"')\]\u00bb\u201d\u2019*_]{0,4}\s+(?=[^\sa-z])"
    r"|(?<=[\u3002\uff01\uff1f])[\u300d\u300f\u201d]?\s*"
    r"|\n[^\S\n]*\n\s*"
    r"|\n(?=[^\S\n]{0,12}(?:[-*+|>#\u2022]|\d{1,3}[.)][ \t]))"
)
# What ends in a dot and goes on.
_GOES_ON = re.compile(
    r"(?:\b(?:Mr|Mrs|Ms|Dr|Prof|St|No|Nr|Fig|Art|Abs|vs|etc|ca|bzw|approx|cf|al)"
    r"|\b(?:e\.g|i\.e|z\.B|d\.h|u\.a)|\b[A-Z]|\b\d{1,2})\.$"
)
_LONGEST_SHORT_FORM = 8


def sentences(text: str, start: int, stop: int) -> Iterator[Span]:
    """Spans that cover the text from ``start`` to ``stop``, each with the spaces that follow it."""
    begin = start
    for match in _END.finditer(text, start, stop):
        before = text[max(begin, match.start() - _LONGEST_SHORT_FORM) : match.start()]
        if match.end() == begin or ("\n\n" not in match[0] and _GOES_ON.search(before)):
            continue
        yield begin, match.end()
        begin = match.end()
    if begin < stop:
        yield begin, stop
