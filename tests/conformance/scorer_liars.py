"""An honest scorer, and scorers that break one rule each."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from customize import Answer, Row, Scorer, option, options

Doubles = npt.NDArray[np.float64]
Scores = Mapping[str, Doubles]


@options
class Honest(Scorer):
    """How many words there are, how surprising they were, and how far both spread."""

    lower_is_better = frozenset({"nats", "spread"})

    most: int = option(default=1000, help="No more are counted.", at_least=1)

    def likelihoods(self, row: Row) -> Sequence[str]:
        return ("Yes.",)

    def score(self, answer: Answer, row: Row) -> dict[str, float]:
        nats = -answer.likelihoods["Yes."].logprob
        return {"words": min(len(answer.text.split()), self.most), "nats": nats}

    def summary(self, scores: Scores, weights_RN: Doubles) -> Scores:
        total_R = weights_RN.sum(axis=1)
        mean_R = weights_RN @ scores["words"] / total_R
        return {"spread": weights_RN @ scores["words"] ** 2 / total_R - mean_R**2}


class Fragile(Honest):
    def score(self, answer: Answer, row: Row) -> Any:
        return {"nats": 0.0, "words": len(answer.text.split()[0])}


class Infinite(Honest):
    def score(self, answer: Answer, row: Row) -> Any:
        return {"nats": 0.0, "words": 1 / len(answer.text) if answer.text else float("inf")}

    def summary(self, scores: Scores, weights_RN: Doubles) -> Scores:
        return {"spread": np.zeros(len(weights_RN))}


class Moody(Honest):
    asked: ClassVar[Any] = itertools.count()

    def score(self, answer: Answer, row: Row) -> Any:
        return {"nats": 0.0, "words": next(self.asked)}


class Meddling(Honest):
    def score(self, answer: Answer, row: Any) -> Any:
        row["messages"].append({"role": "user", "content": "And three?"})
        return super().score(answer, row)


class Demanding(Honest):
    def score(self, answer: Answer, row: Row) -> Any:
        return {"nats": 0.0, "words": int(row["answerable"])}


class OneText(Honest):
    def likelihoods(self, row: Row) -> Sequence[str]:
        return "Yes."

    def score(self, answer: Answer, row: Row) -> Any:
        return {"nats": -answer.likelihoods["Y"].logprob, "words": 1}


class Peeking(Honest):
    reads_answer = False


class Cut(Honest):
    """Peeks at no more than whether an answer came to its end."""

    reads_answer = False

    def score(self, answer: Answer, row: Row) -> Any:
        return {"nats": 0.0, "words": float(answer.finished)}


class Told(Honest):
    """Peeks at no more than whether an answer's log-probability is known."""

    reads_answer = False

    def score(self, answer: Answer, row: Row) -> Any:
        return {"nats": 0.0, "words": float(answer.logprob is None)}


@options
class Unbounded(Honest):
    factor: float = option(default=1.0, help="A number without bounds.")


@options
class Locked(Honest):
    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "lock", threading.Lock())


class Misspelt(Honest):
    lower_is_better = frozenset({"nat", "spread"})


class Unweighted(Honest):
    def summary(self, scores: Scores, weights_RN: Doubles) -> Scores:
        return {"spread": np.full(len(weights_RN), scores["words"].var())}


LIARS: dict[str, Callable[[], Scorer]] = {
    "check_every_answer_is_scored": Fragile,
    "check_scores_are_numbers": Infinite,
    "check_scores_repeat": Moody,
    "check_what_is_scored_is_left_alone": Meddling,
    "check_missing_fields_are_told": Demanding,
    "check_likelihoods_are_texts": OneText,
    "check_unread_answers_do_not_count": Peeking,
    "check_scorer_options_are_declared": Unbounded,
    "check_scorer_pickles": Locked,
    "check_lower_is_better_names_scores": Misspelt,
    "check_summaries_count_by_weight": Unweighted,
}
