"""All questions put to a column, in batches, none of them twice. Knows no right and wrong."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

from customize.data.texts import written
from customize.evaluation.answer_store import AnswerStore
from customize.evaluation.columns import Column, Draw
from customize.evaluation.questions import Question
from customize.interfaces.scorer import Answer, Likelihood

AT_ONCE = 32

# Called with the number of answers, or of likelihoods, since the last call.
Tell = Callable[[int], None]


def answers(
    column: Column, questions: Sequence[Question], draw: Draw, store: AnswerStore, tell: Tell
) -> list[Answer]:
    """One answer a question, from the store where it is there."""
    keys = [column.key(question, draw) for question in questions]
    found = {i: kept for i, key in enumerate(keys) if (kept := store.answer(key))}
    tell(len(found))
    missing = [i for i in range(len(questions)) if i not in found]
    for start in range(0, len(missing), AT_ONCE):
        batch = missing[start : start + AT_ONCE]
        given = column.answers([questions[i] for i in batch], draw)
        store.keep({keys[i]: answer for i, answer in zip(batch, given, strict=True)})
        found |= dict(zip(batch, given, strict=True))
        tell(len(batch))
    return [found[i] for i in range(len(questions))]


def likelihoods(
    column: Column, replies: Sequence[tuple[Question, str]], store: AnswerStore, tell: Tell
) -> list[Likelihood]:
    """The likelihood of each reply, from the store where it is there."""
    keys = [_key(column, question, text) for question, text in replies]
    found = {i: kept for i, key in enumerate(keys) if (kept := store.likelihood(key))}
    tell(len(found))
    missing = [i for i in range(len(replies)) if i not in found]
    for start in range(0, len(missing), AT_ONCE):
        batch = missing[start : start + AT_ONCE]
        given = column.likelihoods([replies[i] for i in batch])
        store.keep({keys[i]: one for i, one in zip(batch, given, strict=True)})
        found |= dict(zip(batch, given, strict=True))
        tell(len(batch))
    return [found[i] for i in range(len(replies))]


def _key(column: Column, question: Question, text: str) -> str | None:
    asked = column.key(question, Draw(max_tokens=0))
    if asked is None:
        return None
    return hashlib.sha256(f"{asked}|{written(question.reply(text))}".encode()).hexdigest()
