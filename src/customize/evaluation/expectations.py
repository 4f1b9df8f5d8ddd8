"""What a row's ``expect`` asks of an answer: scorers by name, all of which must hold.

Knows scorers by name alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import attrs

from customize._errors import CustomizeError, DataError
from customize.evaluation.scorers import make_scorer
from customize.interfaces.dataset import Row
from customize.interfaces.scorer import Answer, Score, Scorer


@attrs.frozen
class Expectation:
    """Scorers by the name that the row gives them."""

    scorers: Mapping[str, Scorer]

    def prepare(self, answers: Sequence[Answer], rows: Sequence[Row]) -> None:
        """Tell the scorers of answers that will be judged, each with its row."""
        for scorer in self.scorers.values():
            scorer.prepare(answers, rows)

    def holds(self, answer: Answer, row: Row) -> bool:
        """Whether every one of them gives 1, or 0 in a part of which less is better.

        Raises:
            DataError: one gives something between 0 and 1, or nothing.
        """
        return all(_holds(n, s, s.score(answer, row)) for n, s in self.scorers.items())

    def confidence(self, answer: Answer, row: Row) -> float | None:
        """The probability of what is judged: of the answer, or of what was likelier than others.

        None where that is not known, as behind an interface, or of several choices at once.
        """
        if any(scorer.reads_answer for scorer in self.scorers.values()):
            return None if answer.logprob is None else math.exp(min(0.0, answer.logprob))
        scores = [scorer.score(answer, row) for scorer in self.scorers.values()]
        found = [s["confidence"] for s in scores if isinstance(s, Mapping) and "confidence" in s]
        return found[0] if len(found) == 1 else None


def parse_expect(value: object, where: str) -> Expectation:
    """A row's ``expect``, strictly; one that was made in Python is taken as it is.

    Raises:
        DataError: it is missing or empty, a scorer is unknown, or its options are wrong; with
            ``where``.
    """
    if isinstance(value, Expectation):
        return value
    if not isinstance(value, Mapping) or not value:
        raise DataError(f"{where} has no expect: say what a right answer is, such as includes")
    try:
        return Expectation(
            {str(name): make_scorer(str(name), each) for name, each in value.items()}
        )
    except CustomizeError as error:
        told = " ".join(str(error).split())
        raise DataError(f"{where}: expect: {told}") from error


def said(text: str) -> Answer:
    """A text alone as an answer."""
    message = {"role": "assistant", "content": text}
    return Answer(text, message, 0, 0, logprob=None, finished=True, latency_s=0.0, share_s=0.0)


def _holds(name: str, scorer: Scorer, score: Score) -> bool:
    """Of a score in parts, ``right`` is the one that counts where it is there."""
    parts = dict(score) if isinstance(score, Mapping) else {"": score}
    counted = {"right": parts["right"]} if "right" in parts else parts
    if not counted or any(value not in (0.0, 1.0) for value in counted.values()):
        raise DataError(f"in expect {name} must give 0 or 1 (gave {score!r})")
    return all(value == (part not in scorer.lower_is_better) for part, value in counted.items())
