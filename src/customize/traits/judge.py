"""A model that says whether answers are free of a trait, where no rule can. Knows no pairs."""

from __future__ import annotations

import gc
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import attrs

from customize._errors import OptionError
from customize._options import option, options
from customize._structuring import Faults, structure
from customize.evaluation.answer_store import AnswerStore
from customize.evaluation.answering import AT_ONCE, answers
from customize.evaluation.columns import Column, Draw
from customize.evaluation.judging.prompts import alone, verdict
from customize.evaluation.questions import Question, questions_of
from customize.interfaces.dataset import Row
from customize.interfaces.scorer import Answer, Scorer
from customize.runs.run_columns import other_column

JUDGE = "judge"
_IN_A_ROW = 3  # failures: those of single answers are not so many, one after the other


@options
class TraitJudge(Scorer):
    """1 where the judge finds that an answer meets the criterion; each answer is asked of once."""

    model: str = option(help="A run, a model, or https://HOST/v1#MODEL (key: CUSTOMIZE_API_KEY).")
    criterion: str = option(
        default="", help="What a good answer keeps; unless given, that it is free of the trait."
    )
    max_tokens: int = option(default=256, help="Tokens a judgement may have.", at_least=1)

    def prepare(self, answers: Sequence[Answer], rows: Sequence[Row]) -> None:
        """Ask of many at once; where that fails, of each alone: `score` then tells of those alone.

        Raises:
            Exception: whatever three in a row failed with: the judge is not there.
        """
        self._memory.failed.clear()
        new = self._new([self._asked(*each) for each in zip(answers, rows, strict=True)])
        for start in range(0, len(new), AT_ONCE):
            batch = new[start : start + AT_ONCE]
            try:
                self._ask(batch)
            except Exception:
                self._ask_one_by_one(batch)

    def score(self, answer: Answer, row: Row) -> float:
        asked = self._asked(answer, row)
        if (failed := self._memory.failed.get(asked.hash)) is not None:
            raise failed
        self._ask([asked])
        return verdict(self._memory.said[asked.hash], of_pairs=False)

    def keep_in(self, store: AnswerStore) -> None:
        """Ask nothing that is in the store, and keep there what is said from now on."""
        self._memory.store = store

    def release(self) -> None:
        """Let go of the model in memory; it is loaded anew when it is next asked."""
        self._memory.column = None
        gc.collect()  # a base and its layers may hold one another

    @cached_property
    def _memory(self) -> _Memory:
        return _Memory()

    @property
    def _column(self) -> Column:
        if self._memory.column is None:
            self._memory.column = other_column(self.model, "the judge")
        return self._memory.column

    def _asked(self, answer: Answer, row: Row) -> Question:
        [question] = questions_of([row], need_expect=False)
        return alone(question, answer.text, self.criterion)

    def _ask(self, asked: Sequence[Question]) -> None:
        new, store = self._new(asked), self._memory.store
        said = answers(self._column, new, Draw(self.max_tokens), store, lambda count: None)
        self._memory.said |= {q.hash: one.text for q, one in zip(new, said, strict=True)}

    def _ask_one_by_one(self, asked: Sequence[Question]) -> None:
        in_a_row = 0
        for one in self._new(asked):
            try:
                self._ask([one])
                in_a_row = 0
            except Exception as error:
                self._memory.failed[one.hash] = error
                in_a_row += 1
                if in_a_row == _IN_A_ROW:
                    raise

    def _new(self, asked: Sequence[Question]) -> list[Question]:
        """Those of which nothing was said yet, each once."""
        memory, draw = self._memory, Draw(self.max_tokens)
        new = {one.hash: one for one in asked if one.hash not in memory.said}
        kept = {key: memory.store.answer(self._column.key(one, draw)) for key, one in new.items()}
        memory.said |= {key: answer.text for key, answer in kept.items() if answer is not None}
        return [one for key, one in new.items() if kept[key] is None]


@attrs.define
class _Memory:
    """said: by what was asked, hashed. failed: what came in place of an answer, until the next
    `prepare`. column: the judge, once it was asked."""

    store: AnswerStore = attrs.field(factory=AnswerStore)
    said: dict[str, str] = attrs.field(factory=dict)
    failed: dict[str, Exception] = attrs.field(factory=dict)
    column: Column | None = None


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
