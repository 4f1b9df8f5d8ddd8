"""An item: one row, what each column said to it, and what that is worth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from customize.evaluation.scoring import RIGHT
from customize.interfaces.scorer import Answer


@attrs.frozen
class Item:
    """hash: sha256 of what was asked. slices: value by field. cluster: None where rows stand alone.

    answers: by column. scores: by column, then metric; what could not be scored is not there.
    flags: what is wrong with the row, such as ``in training``.
    """

    id: str
    question: str
    hash: str
    slices: Mapping[str, str]
    cluster: str | None
    answers: Mapping[str, Answer]
    scores: Mapping[str, Mapping[str, float]]
    flags: tuple[str, ...] = ()

    def right(self, column: str) -> bool | None:
        """Whether the column's answer is as the row expects; None where that is not known."""
        found = self.scores[column].get(RIGHT)
        return None if found is None else bool(found)

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
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Item:
        """What ``to_json`` gave."""
        answers = {column: Answer(**given) for column, given in value["answers"].items()}
        return cls(**{**value, "answers": answers, "flags": tuple(value["flags"])})


def _answer(given: Answer) -> dict[str, Any]:
    skipped = ("likelihoods", "right")
    return attrs.asdict(given, filter=lambda field, _: field.name not in skipped)
