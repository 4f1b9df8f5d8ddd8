"""Test rows that training gives away: the same question, nearly the same, or long shared text.

Runs of 13 words, as for GPT-3 (arXiv 2005.14165, appendix C). Knows no model. One pass over the
training rows; memory grows with the test rows alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from customize.data.similarity import NearIndex
from customize.data.texts import conversation, spoken, words
from customize.evaluation.questions import questions_of
from customize.evaluation.scorers.leaks import runs
from customize.interfaces.dataset import Row

SAME, NEAR = "asked in training", "nearly asked in training"
SHARED = "shares 13 words with training"
FROM_TRAINING = frozenset({SAME, NEAR, SHARED})
_LENGTH = 13


def contamination(test: Sequence[Row], training: Iterable[Row]) -> dict[str, list[str]]:
    """What is wrong with a test row, by its id; clean rows are not there."""
    asked: dict[str, list[str]] = {}
    said: dict[tuple[str, ...], list[str]] = {}
    for question in questions_of(test, need_expect=False):
        asked.setdefault(_asked(question.row), []).append(question.id)
        for run in runs(spoken(question.row), _LENGTH):
            said.setdefault(run, []).append(question.id)
    near = NearIndex(asked)
    found: dict[str, dict[str, None]] = {}
    for row in training:
        text = _asked(row)
        for one in asked.get(text, ()):
            found.setdefault(one, {})[SAME] = None
        for other in near.like(text):
            if other != text:
                for one in asked[other]:
                    found.setdefault(one, {})[NEAR] = None
        for run in runs(spoken(row), _LENGTH):
            for one in said.get(run, ()):
                found.setdefault(one, {})[SHARED] = None
    return {one: _told(flags) for one, flags in found.items()}


def _told(flags: Iterable[str]) -> list[str]:
    """A row that is asked word for word is not also told to be nearly asked."""
    seen = list(flags)
    return [flag for flag in seen if flag != NEAR or SAME not in seen]


def _asked(row: Row) -> str:
    """What users say, in one form."""
    said = (m["content"] for m in conversation(row) if m["role"] == "user")
    return "\n".join(" ".join(words(str(text))) for text in said)
