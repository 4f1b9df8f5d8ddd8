"""A scorer under test, with answers to be scored. Knows no rule."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any, ClassVar

import attrs
import numpy as np

from customize._options import options_of
from customize.data.reading import read
from customize.evaluation.scorers import FunctionScorer
from customize.interfaces.dataset import Row
from customize.interfaces.scorer import Answer, Doubles, Likelihood, Score, Scorer
from customize.testing.scorer_rules.questions import ROWS, answers_to
from customize.testing.subject import Subject


@attrs.frozen
class Trial:
    """An answer to a row, and what kind of answer it is."""

    what: str
    answer: Answer
    row: Row


class ScorerSubject(Subject):
    """A scorer, its class where it needs no options, or a function."""

    kind: ClassVar[str] = "scorer"

    def __init__(self, name: str, given: Any, rows: Sequence[Row] | str | None = None) -> None:
        super().__init__(name)
        self._given = given
        self._rows = rows

    def obstacle(self) -> str | None:
        if not _is_class(self._given) or not attrs.has(self._given):
            return None
        needed = [o.name for o in options_of(self._given) if o.default is attrs.NOTHING]
        if not needed:
            return None
        written = ", ".join(f"{name}=…" for name in needed)
        return f"needs options: conformance(scorer={self._given.__name__}({written}))"

    @cached_property
    def scorer(self) -> Scorer:
        """The scorer itself."""
        if isinstance(self._given, Scorer):
            return self._given
        made: Scorer = self._given() if _is_class(self._given) else FunctionScorer(self._given)
        return made

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """What was asked, as an evaluation reads it."""
        return [dict(row) for row in read(ROWS if self._rows is None else self._rows)]

    @cached_property
    def trials(self) -> Sequence[Trial]:
        """Every kind of answer to every row."""
        return [
            self.trial(what, answer, row)
            for row in self.rows
            for what, answer in answers_to(row).items()
        ]

    def trial(self, what: str, answer: Answer, row: Row) -> Trial:
        """An answer with the likelihoods that the scorer asks for."""
        replies: Sequence[str] = ()
        with suppress(Exception):  # a rule of its own tells
            replies = list(self.scorer.likelihoods(copy.deepcopy(row)))
        likely = {text: Likelihood(-1.5 - n, 1 + len(text)) for n, text in enumerate(replies)}
        return Trial(what, attrs.evolve(answer, likelihoods=likely), row)

    def score(self, trial: Trial) -> Score:
        """What the scorer gives, or raises, for a copy."""
        return self.scorer.score(copy.deepcopy(trial.answer), copy.deepcopy(trial.row))

    @cached_property
    def scores(self) -> Sequence[tuple[Trial, Score]]:
        """Of those trials at which nothing is raised."""
        found = []
        for trial in self.trials:
            with suppress(Exception):  # a rule of its own tells
                found.append((trial, self.score(trial)))
        return found

    @cached_property
    def columns(self) -> Mapping[str, Doubles]:
        """Scores by part, as a summary is given them."""
        rows = [parts for parts in (parts_of(score) for _, score in self.scores) if parts]
        names = rows[0] if rows else ()
        return {name: np.array([row.get(name, np.nan) for row in rows], float) for name in names}


def parts_of(score: Score) -> Mapping[str, float]:
    """Scores by part; "" is the only one."""
    if score is None:
        return {}
    return score if isinstance(score, Mapping) else {"": score}


def _is_class(given: object) -> bool:
    return isinstance(given, type) and issubclass(given, Scorer)
