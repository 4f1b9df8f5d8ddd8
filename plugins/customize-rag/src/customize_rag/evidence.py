"""Where a text holds an answer, and the few words of it to quote. Knows texts alone."""

from __future__ import annotations

import re
from collections.abc import Iterator

from customize import find_answer

Span = tuple[int, int]

# Scripts without spaces: Thai to Lao, Burmese, Khmer, Japanese, Chinese. Korean has spaces.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
)
_KOREAN = "\uac00-\ud7a3"
# After the end of one, where another begins: "7:40 am. On", but not "No. 12" or "Mr. Holm". After
# a mark of Chinese or Japanese, and the quotation's end, no space need follow.
_NO_END = "".join(rf"(?<!\b{short}\.)" for short in ("No", "Mr", "Mrs", "Ms", "Dr", "St"))
_BEGINS = rf"[\"'(\[“‘]?[A-Z0-9${_UNSPACED}{_KOREAN}]"
_BETWEEN = re.compile(
    rf"(?<=[.!?]){_NO_END}\s+(?={_BEGINS})|\n{{2,}}"
    r"|(?:(?<=[。！？｡])|(?<=[。！？｡][”’」』）]))(?![。！？｡”’」』）])\s*"
)
# What a quote does not end with.
ENDS = ".!?;,。！？｡；，、"
# A heading of Markdown: a line with marks before it, or the one above a line of them.
_HEADING = re.compile(
    r"^ {0,3}(?:#{1,6}(?:[ \t].*)?|(?![-*+>|]|\d+[.)]\s)\S.*\n {0,3}(?:=+|-+)[ \t]*)$",
    re.MULTILINE,
)
_TITLE = re.compile(r"#{1,6}(?:[ \t]+(.*?))?[ \t]*#*|(.*)\n[ \t]*(?:=+|-+)")
# Of scripts without spaces two characters are counted as a word: most of Chinese have two.
_WORD = re.compile(rf"[{_UNSPACED}]{{1,2}}|[^\s{_UNSPACED}]+")
_RUN = re.compile(rf"[{_UNSPACED}]+|[{_KOREAN}]+")


def sentences(text: str) -> Iterator[Span]:
    """Where each sentence is, without the space around it.

    Unlike where chunks are cut, a number ends a sentence: it is often what is asked for. A heading
    is one, whether or not an empty line follows.
    """
    start = 0
    for end, next_start in [*_between(text), (len(text), len(text))]:
        said = text[start:end]
        if said.strip():
            yield start + len(said) - len(said.lstrip()), start + len(said.rstrip())
        start = next_start


def is_heading(sentence: str) -> bool:
    """Whether it is a heading of Markdown."""
    return _TITLE.fullmatch(sentence) is not None


def holds(answer: str, text: str) -> bool:
    """Whether the text has the answer in it."""
    return bool(find_answer(answer, text))


def quoted(answer: str, text: str, question: str, most_words: int) -> str | None:
    """The words around the answer that are quoted; None where the text does not hold it.

    Of several sentences that hold it the one that has most in common with the question, and of a
    long one the words next to the answer. A heading is quoted without its marks.
    """
    wanted = _stems(question)
    among = [
        (len(wanted & _stems(said)), -start, said, place)
        for start, end in sentences(text)
        for said in [_title(text[start:end])]
        for place in find_answer(answer, said)[:1]
    ]
    if not among:
        return None
    _, _, said, place = max(among)
    return shortened(said, place, most_words)


def shortened(sentence: str, keep: Span, most_words: int) -> str:
    """At most so many words of the sentence, those of ``keep`` among them."""
    words = [found.span() for found in _WORD.finditer(sentence)]
    kept = [n for n, (a, b) in enumerate(words) if a < keep[1] and b > keep[0]]
    first = max(0, min(len(words) - most_words, (kept[0] + kept[-1] + 1 - most_words) // 2))
    first = min(first, kept[0])
    last = max(min(first + most_words, len(words)) - 1, kept[-1])
    return sentence[words[first][0] : words[last][1]].rstrip(ENDS)


def _between(text: str) -> list[Span]:
    """What is between two sentences; before and after a heading that may be nothing."""
    around = [(place, place) for found in _HEADING.finditer(text) for place in found.span()]
    return sorted([*around, *(found.span() for found in _BETWEEN.finditer(text))])


def _title(sentence: str) -> str:
    """What a heading says; any other sentence as it is."""
    found = _TITLE.fullmatch(sentence)
    return sentence if found is None else found[1] or found[2] or ""


def _stems(text: str) -> set[str]:
    """The beginnings of words, and pairs of characters where words do not end at spaces."""
    pairs = {run[n : n + 2] for run in _RUN.findall(text) for n in range(len(run) - 1)}
    words = re.findall(r"[^\W_]{3,}", _RUN.sub(" ", text).casefold())
    return pairs | {word[:5] for word in words}
