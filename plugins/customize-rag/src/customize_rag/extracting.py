"""Questions made of sentences that tell a number, a date or a name. Needs no model.

They are worded as the sentence is, so they teach reading and quoting and no other wording.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from typing import Any

from customize import Chunk
from customize_rag.evidence import is_heading, sentences

_MONTH = (
    r"(?:January|February|March|April|May|June|July|August|September|October|November|December)"
)
# What is asked for, and what takes its place; the first that is found in a sentence.
_KINDS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("what e-mail address", re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]*\w")),
    ("what time", re.compile(r"\b\d{1,2}(?:[:.]\d\d)?\s?[ap]\.?m\b\.?|\b\d{1,2}:\d\d\b")),
    ("what date", re.compile(rf"\b{_MONTH} \d{{1,2}}(?:, \d{{4}})?|\b\d{{1,2}}\.? {_MONTH}\b")),
    ("how much", re.compile(r"[$€£]\s?\d[\d,]*(?:\.\d+)?|\b\d[\d,.]*\s?(?:euros?|dollars?)\b")),
    ("what percentage", re.compile(r"\b\d+(?:\.\d+)?\s?(?:%|percent\b)")),
    ("what number", re.compile(r"\b\d[\d-]{5,}\d\b")),
    ("what year", re.compile(r"\b(?:1[5-9]|20)\d\d\b")),
    ("how many", re.compile(r"\b\d[\d,]*(?:\.\d+)?(?= [a-z])")),
    ("who or what", re.compile(r"(?<=[a-z,] )(?:[A-Z][\w'-]+ )+[A-Z][\w'-]+")),
)
_LEAST_WORDS, _MOST_WORDS = 4, 40  # of a sentence that is asked about
_FORMS = 3


def extracted(chunks: Iterable[Chunk]) -> Iterator[dict[str, Any]]:
    """``question``, ``answer`` and ``document`` for each sentence that has such a thing.

    Headings are not asked about: a question names what stands under which.
    """
    for chunk in chunks:
        told = [chunk.text[start:end] for start, end in sentences(chunk.text)]
        own = [one for one in told if not is_heading(one) and one not in chunk.heading]
        for said in (" ".join(one.split()) for one in own):
            if (found := _found(said)) is not None:
                asked, answer = found
                question = _question(said, asked, answer, chunk.heading)
                yield {"question": question, "answer": answer, "document": chunk.document}


def _found(said: str) -> tuple[str, str] | None:
    if not _LEAST_WORDS <= len(said.split()) <= _MOST_WORDS:
        return None
    for asked, pattern in _KINDS:
        if (match := pattern.search(said)) is not None:
            return asked, match[0].rstrip(".")
    return None


def _question(said: str, asked: str, answer: str, heading: tuple[str, ...]) -> str:
    """One of three forms: the sentence itself, its words, or both under the heading."""
    before, _, after = said.rstrip(".!").partition(answer)
    form = int(hashlib.sha256(said.encode()).hexdigest(), 16) % _FORMS
    about = f"{heading[0]}: " if heading else ""
    if form == 0:
        words = re.findall(r"[\w'-]{4,}", f"{before} {after}")
        return f"{about}{asked}, {' '.join(words[:6]).casefold()}?"
    echoed = f"{before}{asked}{after}?".replace("..", ".")
    return f"{about}{echoed}" if form == 1 else f"{about}{echoed[:1].lower()}{echoed[1:]}"
