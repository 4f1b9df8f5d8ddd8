"""What a model finds likely, without a word of its own. Knows log-probabilities, and no tokens."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from customize._errors import DataError
from customize._options import options
from customize.data.texts import written
from customize.evaluation.scorers.texts import reference
from customize.interfaces.dataset import Row
from customize.interfaces.scorer import Answer, Doubles, Score, Scorer


@options
class Choice(Scorer):
    """right: the likeliest of the row's ``choices`` is its ``answer``, a text or a number from 0.

    Summed over tokens and the end of the turn, and not divided by length. confidence: the share of
    probability that the likeliest has among the choices.
    """

    reads_answer = False

    def likelihoods(self, row: Row) -> Sequence[str]:
        return tuple(row.get("choices") or ())

    def score(self, answer: Answer, row: Row) -> Score:
        choices = self.likelihoods(row)
        if not choices:
            return None
        logprobs = np.array([answer.likelihoods[text].logprob for text in choices])
        best = int(logprobs.argmax())
        shares = np.exp(logprobs - logprobs.max())
        return {
            "right": float(best == _place(row, choices)),
            "confidence": float(shares[best] / shares.sum()),
        }


def _place(row: Row, choices: Sequence[str]) -> int:
    right = row.get("answer")
    if isinstance(right, str) and right in choices:
        return list(choices).index(right)
    if isinstance(right, int) and 0 <= right < len(choices):
        return right
    raise DataError(f"answer must be one of the choices or its number from 0 (got {right!r})")


@options
class Perplexity(Scorer):
    """nats_per_token and bits_per_byte of the row's own answer, its calls of tools too; each row
    counts once.

    Bits per byte can be compared between models with different tokens, nats cannot.
    """

    lower_is_better = frozenset({"nats_per_token", "bits_per_byte", "perplexity"})
    reads_answer = False

    def likelihoods(self, row: Row) -> Sequence[str]:
        own = reference(row)
        is_there = own is not None and (own.get("content") or own.get("tool_calls"))
        return (str(own.get("content") or ""),) if own is not None and is_there else ()

    def score(self, answer: Answer, row: Row) -> Score:
        own, texts = reference(row), self.likelihoods(row)
        if own is None or not texts:
            return None
        found, text = answer.likelihoods[texts[0]], written({**own, "content": texts[0]})
        return {
            "nats_per_token": -found.logprob / found.num_tokens,
            "bits_per_byte": -found.logprob / math.log(2) / len(text.encode()),
        }

    def summary(self, scores: Mapping[str, Doubles], weights_RN: Doubles) -> Mapping[str, Doubles]:
        nats_R = (weights_RN @ scores["nats_per_token"]) / weights_RN.sum(axis=1)
        return {"perplexity": np.exp(nats_R)}
