"""All questions put to a column, in batches, none of them twice. Knows no right and wrong."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

from customize._options import options_to_dict
from customize.evaluation.answer_store import AnswerStore
from customize.evaluation.columns import Column, SnapshotColumn
from customize.evaluation.questions import Question
from customize.interfaces.backend import Sampling
from customize.interfaces.scorer import Answer, Likelihood

_AT_ONCE = 32

# Called with the number of answers since the last call.
Tell = Callable[[int], None]


def answers(
    column: Column, questions: Sequence[Question], max_tokens: int, store: AnswerStore, tell: Tell
) -> list[Answer]:
    """One answer a question, from the store where it is there."""
    keys = [column.key(question, max_tokens) for question in questions]
    found = {i: kept for i, key in enumerate(keys) if (kept := store.answer(key))}
    tell(len(found))
    missing = [i for i in range(len(questions)) if i not in found]
    for start in range(0, len(missing), _AT_ONCE):
        batch = missing[start : start + _AT_ONCE]
        given = column.answers([questions[i] for i in batch], max_tokens)
        store.keep({keys[i]: answer for i, answer in zip(batch, given, strict=True)})
        found |= dict(zip(batch, given, strict=True))
        tell(len(batch))
    return [found[i] for i in range(len(questions))]


def samples(
    column: SnapshotColumn,
    questions: Sequence[Question],
    n: int,
    sampling: Sampling,
    seed: int,
    store: AnswerStore,
    tell: Tell,
) -> list[list[Answer]]:
    """``n`` drawn answers to each question, from the store where all of a question's are there."""
    keys = [
        [_of_draw(column.key(question, sampling.max_tokens), sampling, seed, j) for j in range(n)]
        for question in questions
    ]
    found = {i: kept for i, key in enumerate(keys) if (kept := _all_kept(key, store)) is not None}
    tell(len(found))
    missing = [i for i in range(len(questions)) if i not in found]
    for start in range(0, len(missing), _AT_ONCE):
        batch = missing[start : start + _AT_ONCE]
        drawn = column.samples([questions[i] for i in batch], n, sampling, seed)
        pairs = zip(batch, drawn, strict=True)
        store.keep({key: a for i, each in pairs for key, a in zip(keys[i], each, strict=True)})
        found |= dict(zip(batch, drawn, strict=True))
        tell(len(batch))
    return [found[i] for i in range(len(questions))]


def likelihoods(
    column: Column, replies: Sequence[tuple[Question, str]], store: AnswerStore
) -> list[Likelihood]:
    """The likelihood of each reply, from the store where it is there."""
    keys = [_key(column, question, text) for question, text in replies]
    found = {i: kept for i, key in enumerate(keys) if (kept := store.likelihood(key))}
    missing = [i for i in range(len(replies)) if i not in found]
    for start in range(0, len(missing), _AT_ONCE):
        batch = missing[start : start + _AT_ONCE]
        given = column.likelihoods([replies[i] for i in batch])
        store.keep({keys[i]: one for i, one in zip(batch, given, strict=True)})
        found |= dict(zip(batch, given, strict=True))
    return [found[i] for i in range(len(replies))]


def _key(column: Column, question: Question, text: str) -> str | None:
    asked = column.key(question, 0)
    return None if asked is None else hashlib.sha256(f"{asked}|{text}".encode()).hexdigest()


def _of_draw(asked: str | None, sampling: Sampling, seed: int, number: int) -> str | None:
    if asked is None:
        return None
    drawn = f"{asked}|{dict(options_to_dict(sampling))}|{seed}|{number}"
    return hashlib.sha256(drawn.encode()).hexdigest()


def _all_kept(keys: Sequence[str | None], store: AnswerStore) -> list[Answer] | None:
    kept = [answer for key in keys if (answer := store.answer(key))]
    return kept if len(kept) == len(keys) else None
