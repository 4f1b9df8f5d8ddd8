"""What an answer from passages is worth. Knows a row's passages, and who answered not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from customize import (
    Answer,
    Chunk,
    DataError,
    Grounding,
    Hit,
    Row,
    Scorer,
    abstention_rates,
    option,
    options,
)
from customize_rag.evidence import holds

Doubles = npt.NDArray[np.float64]


@options
class Grounded(Scorer):
    """Of a row with ``passages``, as they were shown, or as an evaluation's index found them.

    ``answer`` is what is right, or null where they do not tell; ``supporting`` are the places of
    the passages that tell it, from 1, or else of those that hold the answer. right: the answer is
    there and rests on supporting passages alone, or it abstains where it should. Over all rows:
    precision, recall and f1 of abstaining, which is to say the row's ``abstention``.
    """

    abstention: str | None = option(
        default=None,
        help="What is answered where the passages do not tell; unless given, what the row's "
        "abstention is, as an evaluation's index tells it of the run.",
    )

    def __attrs_post_init__(self) -> None:
        self._form({})

    def score(self, answer: Answer, row: Row) -> Mapping[str, float] | None:
        passages = row.get("passages")
        if passages is None:
            return None
        hits = [Hit(Chunk(str(n), text, (0, len(text))), 0.0) for n, text in enumerate(passages)]
        read = self._form(row).read(answer.text, hits)
        if "answer" not in row:
            raise DataError("a row with passages needs 'answer': null where they do not tell it")
        right = row["answer"]
        parts: dict[str, float] = {"abstains": read.abstained, "should": right is None}
        if right is None:
            return {**parts, "right": read.abstained}
        cited = {citation.place for citation in read.citations}
        supporting = _supporting(row, right, passages)
        contained = holds(right, read.text)
        parts |= {
            "right": contained and bool(cited) and cited <= supporting,
            "contained": contained,
            "citation_recall": bool(cited & supporting),
        }
        if cited:
            parts["citation_precision"] = len(cited & supporting) / len(cited)
            parts["verbatim"] = all(one.span is not None for one in read.citations)
        return parts

    def _form(self, row: Row) -> Grounding:
        """How the answer is read."""
        said = row.get("abstention") if self.abstention is None else self.abstention
        return Grounding(abstention=said) if isinstance(said, str) else Grounding()

    def summary(self, scores: Mapping[str, Doubles], weights_RN: Doubles) -> Mapping[str, Doubles]:
        return abstention_rates(scores["abstains"], scores["should"], weights_RN)


def _supporting(row: Row, right: str, passages: Sequence[str]) -> set[int]:
    if row.get("supporting") is not None:
        return {int(place) for place in row["supporting"]}
    return {place for place, text in enumerate(passages, 1) if holds(right, text)}
