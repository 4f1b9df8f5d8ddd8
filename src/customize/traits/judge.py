"""A model that says whether answers are free of a trait, where no rule can. Knows no pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from customize._errors import OptionError
from customize._options import option, options
from customize._structuring import Faults, structure
from customize.evaluation.answer_store import AnswerStore
from customize.evaluation.answering import answers
from customize.evaluation.columns import Column, Draw
from customize.evaluation.judging.prompts import alone, verdict
from customize.evaluation.questions import Question, questions_of
from customize.interfaces.dataset import Row
from customize.interfaces.scorer import Answer, Scorer
from customize.runs.run_columns import other_column

JUDGE = "judge"


@options
class TraitJudge(Scorer):
    """1 where the judge finds that an answer meets the criterion; each answer is asked of once."""

    model: str = option(help="A run, a model, or https://HOST/v1#MODEL (key: CUSTOMIZE_API_KEY).")
    criterion: str = option(
        default="", help="What a good answer keeps; unless given, that it is free of the trait."
    )
    max_tokens: int = option(default=256, help="Tokens a judgement may have.", at_least=1)

    def prepare(self, answers: Sequence[Answer], rows: Sequence[Row]) -> None:
        self._ask([self._asked(*each) for each in zip(answers, rows, strict=True)])

    def score(self, answer: Answer, row: Row) -> float:
        asked = self._asked(answer, row)
        self._ask([asked])
        return verdict(self._said[asked.hash], of_pairs=False)

    @cached_property
    def _said(self) -> dict[str, str]:
        return {}

    @cached_property
    def _column(self) -> Column:
        return other_column(self.model, "the judge")

    def _asked(self, answer: Answer, row: Row) -> Question:
        [question] = questions_of([row], need_expect=False)
        return alone(question, answer.text, self.criterion)

    def _ask(self, asked: Sequence[Question]) -> None:
        new = {one.hash: one for one in asked if one.hash not in self._said}
        draw, questions = Draw(self.max_tokens), [*new.values()]
        said = answers(self._column, questions, draw, AnswerStore(), lambda count: None)
        self._said.update({key: one.text for key, one in zip(new, said, strict=True)})


def trait_judge(given: Any, sentence: str) -> TraitJudge:
    """The judge of a trait's file: its options, or just the model.

    Raises:
        OptionError: with every fault.
    """
    values = {"model": given} if isinstance(given, str) else given
    if not isinstance(values, Mapping):
        raise OptionError(f"{JUDGE} must be a model, or its options by name (got {given!r})")
    if not values.get("criterion"):
        values = {**values, "criterion": f"It is free of this fault: {sentence}"}
    faults = Faults()
    made = structure(TraitJudge, values, faults)
    faults.raise_if_any(JUDGE)
    assert made is not None
    return made
