"""An item: one row, what each column said to it, and what that is worth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from customize.evaluation.scoring import RIGHT
from customize.interfaces.scorer import Answer


@attrs.frozen
class Sample:
    """One of several answers to a row, and its scores by metric."""

    answer: Answer
    scores: Mapping[str, float]


@attrs.frozen
class Item:
    """hash: sha256 of what was asked. slices: value by field. cluster: None where rows stand alone.

    answers: by column. scores: by column, then metric; what could not be scored is not there.
    flags: what is wrong with the row, such as ``in training``.
    samples: by column, where several answers were drawn: ``answers`` has the first of them, and
    ``scores`` their means.
    """

    id: str
    question: str
    hash: str
    slices: Mapping[str, str]
    cluster: str | None
    answers: Mapping[str, Answer]
    scores: Mapping[str, Mapping[str, float]]
    flags: tuple[str, ...] = ()
    samples: Mapping[str, tuple[Sample, ...]] = attrs.field(factory=dict)

    def right(self, column: str) -> bool | None:
        """Whether the column's answer is as the row expects; None where that is not known."""
        found = self.of(column)[0].scores.get(RIGHT)
        return None if found is None else bool(found)

    def of(self, column: str) -> tuple[Sample, ...]:
        """Every answer of a column with its scores: one, unless several were drawn."""
        drawn = self.samples.get(column)
        return drawn or (Sample(self.answers[column], self.scores.get(column, {})),)

    def to_json(self) -> dict[str, Any]:
        """Without the likelihoods that scorers asked for."""
        return {
            "id": self.id,
            "question": self.question,
            "hash": self.hash,
            "slices": dict(self.slices),
            "cluster": self.cluster,
            "flags": list(self.flags),
            "answers": {column: _answer(given) for column, given in self.answers.items()},
            "scores": {column: dict(given) for column, given in self.scores.items()},
            "samples": {
                column: [{"answer": _answer(s.answer), "scores": dict(s.scores)} for s in drawn]
                for column, drawn in self.samples.items()
            },
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Item:
        """What ``to_json`` gave."""
        answers = {column: Answer(**given) for column, given in value["answers"].items()}
        samples = {
            column: tuple(Sample(Answer(**s["answer"]), s["scores"]) for s in drawn)
            for column, drawn in value["samples"].items()
        }
        flags = tuple(value["flags"])
        return cls(**{**value, "answers": answers, "flags": flags, "samples": samples})


def _answer(given: Answer) -> dict[str, Any]:
    skipped = ("likelihoods", "right", "confidence")
    return attrs.asdict(given, filter=lambda field, _: field.name not in skipped)
