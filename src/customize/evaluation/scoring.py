"""Answers to scores: every scorer on every answer, and what went wrong. Knows no statistics."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import attrs

from customize._errors import Unsupported
from customize.evaluation.answer_store import AnswerStore
from customize.evaluation.answering import Tell, likelihoods
from customize.evaluation.columns import Column
from customize.evaluation.questions import Question
from customize.interfaces.scorer import Answer, Likelihood, Score, Scorer

RIGHT = "right"  # the metric of ``expect``

Scores = dict[str, float]


@attrs.frozen
class Fault:
    """A scorer that raised, or gave no number: the answer then has no such score."""

    item: str
    column: str
    scorer: str
    error: str


def score(
    column: Column,
    questions: Sequence[Question],
    answers: Sequence[Answer],
    scorers: Mapping[str, Scorer],
    store: AnswerStore,
    weighing: Callable[[int], Tell],
) -> tuple[list[Scores], list[Fault]]:
    """Scores by metric for each question: ``right``, and ``name`` or ``name.part`` of scorers.

    ``weighing`` is told how many likelihoods are wanted.
    """
    faults: list[Fault] = []
    given = _with_likelihoods(column, questions, answers, scorers, store, weighing, faults)
    _prepare(questions, given, scorers)
    scores: list[Scores] = []
    for question, answer in zip(questions, given, strict=True):
        own: Scores = {}
        scores.append(own)
        for name, part in _judged(column.name, question, answer, scorers, faults):
            own[name] = part
    return scores, faults


def mean_scores(samples: Sequence[Mapping[str, float]]) -> Scores:
    """By metric, over the samples that have it."""
    metrics = dict.fromkeys(metric for scores in samples for metric in scores)
    having = {m: [scores[m] for scores in samples if m in scores] for m in metrics}
    return {metric: sum(values) / len(values) for metric, values in having.items()}


def metric_of(scorer: str, part: str) -> str:
    """What a part of a scorer's is called among all scores; its only one has no name."""
    return f"{scorer}.{part}" if part else scorer


def needs_answer(question: Question, scorers: Mapping[str, Scorer]) -> bool:
    """Whether anything looks at what a model says, and not only at what it finds likely."""
    own = question.expectation.scorers.values() if question.expectation else ()
    return any(scorer.reads_answer for scorer in (*own, *scorers.values()))


def _prepare(
    questions: Sequence[Question], answers: Sequence[Answer], scorers: Mapping[str, Scorer]
) -> None:
    """Rows that share an expectation, as a trait's do, are told to it together."""
    for scorer in scorers.values():
        scorer.prepare(answers, [question.row for question in questions])
    shared: dict[int, list[int]] = {}
    for number, question in enumerate(questions):
        if question.expectation is not None:
            shared.setdefault(id(question.expectation), []).append(number)
    for numbers in shared.values():
        expectation = questions[numbers[0]].expectation
        assert expectation is not None
        expectation.prepare([answers[n] for n in numbers], [questions[n].row for n in numbers])


def _judged(
    column: str,
    question: Question,
    answer: Answer,
    scorers: Mapping[str, Scorer],
    faults: list[Fault],
) -> list[tuple[str, float]]:
    found: list[tuple[str, float]] = []
    if question.expectation is not None:
        try:
            right = question.expectation.holds(answer, question.row)
            answer = attrs.evolve(answer, right=right)
            found.append((RIGHT, float(right)))
        except Exception as error:
            faults.append(Fault(question.id, column, "expect", _told(error)))
    for name, scorer in scorers.items():
        try:
            found += _parts(name, scorer.score(answer, question.row))
        except Exception as error:
            faults.append(Fault(question.id, column, name, _told(error)))
    return found


def _parts(name: str, score: Score) -> list[tuple[str, float]]:
    if score is None:
        return []
    parts = score.items() if isinstance(score, Mapping) else [("", score)]
    return [(metric_of(name, part), _number(value)) for part, value in parts]


def _number(value: object) -> float:
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"gave {value!r}, which is no finite number")
    return float(value)


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _with_likelihoods(
    column: Column,
    questions: Sequence[Question],
    answers: Sequence[Answer],
    scorers: Mapping[str, Scorer],
    store: AnswerStore,
    weighing: Callable[[int], Tell],
    faults: list[Fault],
) -> list[Answer]:
    wanted = [
        (number, text)
        for number, question in enumerate(questions)
        for text in replies_of(question, scorers, column.name, faults)
    ]
    try:
        replies = [(questions[n], text) for n, text in wanted]
        found = likelihoods(column, replies, store, weighing(len(wanted)))
    except Unsupported as error:
        faults.append(Fault("all", column.name, "log-probabilities", _told(error)))
        return list(answers)
    by_number: dict[int, dict[str, Likelihood]] = {}
    for (number, text), likelihood in zip(wanted, found, strict=True):
        by_number.setdefault(number, {})[text] = likelihood
    return [
        attrs.evolve(answer, likelihoods=by_number.get(number, {}))
        for number, answer in enumerate(answers)
    ]


def replies_of(
    question: Question, scorers: Mapping[str, Scorer], column: str, faults: list[Fault]
) -> list[str]:
    """The replies whose likelihood a question's scorers ask for."""
    own = question.expectation.scorers if question.expectation else {}
    texts: dict[str, None] = {}
    for name, scorer in (*own.items(), *scorers.items()):
        try:
            texts |= dict.fromkeys(scorer.likelihoods(question.row))
        except Exception as error:
            faults.append(Fault(question.id, column, name, _told(error)))
    return list(texts)
