"""Answers to scores: every scorer on every answer, and what went wrong. Knows no statistics."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import attrs

from customize._errors import Unsupported
from customize.evaluation.answer_store import AnswerStore
from customize.evaluation.answering import Tell, likelihoods
from customize.evaluation.columns import Column
from customize.evaluation.expectations import Expectation
from customize.evaluation.questions import Question
from customize.interfaces.scorer import Answer, Likelihood, Score, Scorer

RIGHT = "right"  # the metric of ``expect``
ALL = "all"  # in place of a row's id: what went wrong was over all of them
EXPECT = "expect"  # in place of a scorer's name

Scores = dict[str, float]


@attrs.frozen
class Fault:
    """A scorer that raised, or gave no number: the answer then has no such score.

    item: `ALL` where no single answer was at fault; then all, or a figure over them, are without.
    """

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
    unprepared = _prepare(questions, given, scorers)
    scores: list[Scores] = []
    for question, answer in zip(questions, given, strict=True):
        judged = _Judged(column.name, question, answer, unprepared)
        scores.append(judged.scores(scorers))
        faults += judged.faults
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
) -> dict[int, str]:
    """Rows that share an expectation, as a trait's do, are told to it together.

    Returns what a scorer or an expectation raised, by its identity.
    """
    told: dict[int, tuple[Scorer | Expectation, list[int]]] = {
        id(scorer): (scorer, list(range(len(questions)))) for scorer in scorers.values()
    }
    for number, question in enumerate(questions):
        if question.expectation is not None:
            key = id(question.expectation)
            told.setdefault(key, (question.expectation, []))[1].append(number)
    raised: dict[int, str] = {}
    for key, (one, numbers) in told.items():
        try:
            one.prepare([answers[n] for n in numbers], [questions[n].row for n in numbers])
        except Exception as error:
            raised[key] = told_of(error)
    return raised


@attrs.define
class _Judged:
    """One answer, and what becomes of it. unprepared: what was raised, by who raised it."""

    column: str
    question: Question
    answer: Answer
    unprepared: Mapping[int, str]
    faults: list[Fault] = attrs.field(factory=list)

    def scores(self, scorers: Mapping[str, Scorer]) -> Scores:
        """By ``expect`` first, so that scorers know what it said."""
        found: Scores = {}
        if (expectation := self.question.expectation) is not None:
            found |= self._of(expectation, EXPECT, self._right)
        for name, scorer in scorers.items():
            found |= self._of(scorer, name, partial(self._scored, name, scorer))
        return found

    def _of(self, judge: object, name: str, scored: Callable[[], Scores]) -> Scores:
        if (raised := self.unprepared.get(id(judge))) is not None:
            self._at_fault(name, raised)
            return {}
        try:
            return scored()
        except Exception as error:
            self._at_fault(name, told_of(error))
            return {}

    def _at_fault(self, name: str, told: str) -> None:
        self.faults.append(Fault(self.question.id, self.column, name, told))

    def _right(self) -> Scores:
        expectation, row = self.question.expectation, self.question.row
        assert expectation is not None
        right = expectation.holds(self.answer, row)
        confidence = expectation.confidence(self.answer, row)
        self.answer = attrs.evolve(self.answer, right=right, confidence=confidence)
        return {RIGHT: float(right)}

    def _scored(self, name: str, scorer: Scorer) -> Scores:
        return dict(_parts(name, scorer.score(self.answer, self.question.row)))


def _parts(name: str, score: Score) -> list[tuple[str, float]]:
    if score is None:
        return []
    parts = score.items() if isinstance(score, Mapping) else [("", score)]
    return [(metric_of(name, part), _number(value)) for part, value in parts]


def _number(value: object) -> float:
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"gave {value!r}, which is no finite number")
    return float(value)


def told_of(error: Exception) -> str:
    """An error as a fault tells it."""
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
        faults.append(Fault(ALL, column.name, "log-probabilities", told_of(error)))
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
            faults.append(Fault(question.id, column, name, told_of(error)))
    return list(texts)
