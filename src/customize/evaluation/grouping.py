"""Which rows are looked at together, and which belong together. Knows no answers."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from customize._errors import DataError
from customize.data.languages import guess
from customize.data.texts import num_words
from customize.evaluation.questions import Question, field_of

SHORT, LONG = 10, 30  # words of a question


@attrs.frozen
class Grouping:
    """slices: fields of rows, and ``length`` and ``language`` of the question. cluster: a field."""

    slices: Sequence[str] = ("trait",)
    cluster: str | None = None

    def slices_of(self, question: Question) -> dict[str, str]:
        """The question's value of each field."""
        return {field: _slice(question, field) for field in self.slices}

    def cluster_of(self, question: Question) -> str | None:
        """What the question belongs to.

        Raises:
            DataError: it lacks the field.
        """
        if self.cluster is None:
            return None
        if question.row.get(self.cluster) is None:
            raise DataError(f"{question.id}: no field {self.cluster!r} to cluster by")
        return field_of(question.row, self.cluster)


def _slice(question: Question, field: str) -> str:
    if field in question.row or field not in ("length", "language"):
        return field_of(question.row, field)
    if field == "language":
        return guess(question.text)
    count = num_words(question.text)
    return "short" if count <= SHORT else "long" if count > LONG else "medium"
