"""Scorers: what an answer is worth. Know neither who answered nor what is done with scores.

Shape legend: N rows, R resamples.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar

import attrs
import numpy as np
import numpy.typing as npt

from customize.interfaces.dataset import Row
from customize.interfaces.renderer import Message

Doubles = npt.NDArray[np.float64]

# A number; parts by name; or None where the row does not ask for this score.
Score = bool | float | Mapping[str, float] | None


@attrs.frozen
class Likelihood:
    """Of a reply that was given to the model. logprob: nats of all its tokens, its end too."""

    logprob: float
    num_tokens: int


@attrs.frozen
class Answer:
    """What a model said to a row.

    message: the same, taken apart: ``tool_calls``, ``reasoning_content``.
    logprob: nats of all its tokens; None where the model is behind an interface without them.
    finished: it ended by itself, and not at the limit of tokens.
    latency_s: seconds until its last token, beside the others of its batch.
    share_s: the batch's seconds divided by its answers.
    likelihoods: of the replies that scorers asked for.
    right: whether the row's ``expect`` held; None where there is none.
    confidence: the probability of what ``expect`` judged, the whole answer or a choice; None where
        that is not known.
    memory_bytes: the most that the process held meanwhile; None where that is not known.
    device_bytes: the same of a device's own memory; None where there is none.
    """

    text: str
    message: Message
    num_prompt_tokens: int
    num_tokens: int
    logprob: float | None
    finished: bool
    latency_s: float
    share_s: float
    likelihoods: Mapping[str, Likelihood] = attrs.field(factory=dict)
    right: bool | None = None
    confidence: float | None = None
    memory_bytes: int | None = None
    device_bytes: int | None = None


class Scorer(ABC):
    """An options class that scores answers; in ``expect`` it must give 0, 1 or parts that are.

    There a 1 holds, and a 0 in a part of which less is better.

    What it raises, in whichever of these, is counted and told with its name, and is never a score.
    """

    # The scores, by part or "" for the only one, of which less is better.
    lower_is_better: ClassVar[frozenset[str]] = frozenset()
    # What is told of a row whose answer has such a score above 0, by part.
    red_flags: ClassVar[Mapping[str, str]] = MappingProxyType({})
    # False where likelihoods, and what ``expect`` found, are all it looks at: then nothing need
    # be answered for it.
    reads_answer: ClassVar[bool] = True

    @abstractmethod
    def score(self, answer: Answer, row: Row) -> Score:
        """What the answer is worth; None where the row does not ask for it."""

    def prepare(self, answers: Sequence[Answer], rows: Sequence[Row]) -> None:  # noqa: B027
        """Told of answers that ``score`` will be given, each with its row.

        For a scorer that asks somebody else, and had better ask of many at once.
        """

    def likelihoods(self, row: Row) -> Sequence[str]:
        """Replies whose log-probability ``score`` needs, beside the model's own answer."""
        return ()

    def summary(self, scores: Mapping[str, Doubles], weights_RN: Doubles) -> Mapping[str, Doubles]:
        """Figures over all rows that are no means, each [R].

        ``scores`` are [N] by part; a row counts as often as its weight says.
        """
        return {}
