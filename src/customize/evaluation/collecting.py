"""Items: every question answered by all columns, scored, and judged. Compares nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import attrs

from customize.evaluation.answer_store import AnswerStore
from customize.evaluation.answering import Tell, answers
from customize.evaluation.columns import Column, Draw
from customize.evaluation.expectations import said
from customize.evaluation.grouping import Grouping
from customize.evaluation.item import Item, Sample
from customize.evaluation.judging import Judge, judged
from customize.evaluation.progress import AnswerProgress
from customize.evaluation.questions import Question
from customize.evaluation.scoring import Fault, mean_scores, needs_answer, score
from customize.interfaces.scorer import Answer, Scorer

# By column, then question.
Samples = dict[str, list[Sample]]


@attrs.frozen
class Collector:
    """How questions are answered: draws one answer each, or several where ``samples`` says so."""

    store: AnswerStore = attrs.field(factory=AnswerStore)
    progress: AnswerProgress | None = None
    draw: Draw = attrs.field(factory=Draw)
    samples: int = 1
    judge: Judge | None = None

    def items(
        self,
        columns: Sequence[Column],
        questions: Sequence[Question],
        scorers: Mapping[str, Scorer],
        grouping: Grouping,
        rival: str | None = None,
    ) -> tuple[list[Item], list[Fault]]:
        """Each question with every column's answers, and what could not be scored.

        ``rival`` is what a judge compares the last column with, where it judges pairs.
        """
        clusters = [grouping.cluster_of(question) for question in questions]
        faults: list[Fault] = []
        rounds = [
            self._round(number, columns, questions, scorers, rival, faults)
            for number in range(self.samples)
        ]
        return [
            _item(question, n, rounds, grouping, clusters[n])
            for n, question in enumerate(questions)
        ], faults

    def tell(self, who: str, total: int, what: str = "answers") -> Tell:
        """What is called with the number that have come."""
        if self.progress is None:
            return lambda count: None
        self.progress.begin(who, total, what)
        return self.progress.tell

    def _round(
        self,
        number: int,
        columns: Sequence[Column],
        questions: Sequence[Question],
        scorers: Mapping[str, Scorer],
        rival: str | None,
        faults: list[Fault],
    ) -> Samples:
        found: Samples = {}
        for column in columns:
            asked = [column.as_asked(question) for question in questions]
            given = self._answers(column, asked, scorers, number)
            weighed = partial(self.tell, column.name, what="likelihoods")
            scores, more = score(column, asked, given, scorers, self.store, weighed)
            found[column.name] = [Sample(*each) for each in zip(given, scores, strict=True)]
            faults += more
        if self.judge is None:
            return found
        return self._judged(self.judge, found, questions, rival, faults)

    def _judged(
        self,
        judge: Judge,
        found: Samples,
        questions: Sequence[Question],
        rival: str | None,
        faults: list[Fault],
    ) -> Samples:
        given = {name: [sample.answer for sample in each] for name, each in found.items()}
        verdicts, more = judged(judge, questions, given, rival, self.store, self.tell)
        faults += more
        return {
            name: [
                attrs.evolve(sample, scores={**sample.scores, **verdict})
                for sample, verdict in zip(each, verdicts[name], strict=True)
            ]
            for name, each in found.items()
        }

    def _answers(
        self,
        column: Column,
        questions: Sequence[Question],
        scorers: Mapping[str, Scorer],
        number: int,
    ) -> list[Answer]:
        asked = [
            n
            for n, question in enumerate(questions)
            if self.judge is not None or needs_answer(question, scorers)
        ]
        found = [said("")] * len(questions)
        tell = self.tell(column.name, len(asked))
        draw = attrs.evolve(self.draw, number=number)
        given = answers(column, [questions[n] for n in asked], draw, self.store, tell)
        for n, answer in zip(asked, given, strict=True):
            found[n] = answer
        return found


def _item(
    question: Question, n: int, rounds: Sequence[Samples], grouping: Grouping, cluster: str | None
) -> Item:
    samples = {name: tuple(found[name][n] for found in rounds) for name in rounds[0]}
    return Item(
        id=question.id,
        question=question.text,
        hash=question.hash,
        slices=grouping.slices_of(question),
        cluster=cluster,
        answers={name: drawn[0].answer for name, drawn in samples.items()},
        scores={name: mean_scores([s.scores for s in drawn]) for name, drawn in samples.items()},
        samples=samples if len(rounds) > 1 else {},
    )
