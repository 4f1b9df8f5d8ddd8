"""Rewards, rows and environments that tests share: the toy's tokens are bytes."""

from __future__ import annotations

import random
from typing import Any

import attrs
import numpy as np

import customize
from customize import Batch
from customize.testing import ToyBackend

ROWS = [{"messages": [{"role": "user", "content": f"question {i}?"}]} for i in range(6)]


def likeness(completion: str, messages: Any) -> float:
    """How much of the prompt's bytes is said: another prompt, another reward."""
    asked = set(messages[0]["content"])
    return sum(ord(c) % 7 for c in completion) / 10 + len(asked & set(completion))


def right(completion: str, answer: str) -> float:
    return float(completion == answer)


def wrong(completion: str, answer: str) -> float:
    return float(completion != answer)


def flat(completion: str, answer: str) -> float:
    return 0.5


def on_target(completion: str, target: str) -> float:
    return float(completion == target)


def leaves(completion: str, answer: str) -> float:
    raise SystemExit(3)


@customize.group
def longest(completions: Any, rows: Any) -> list[float]:
    """How many of its siblings are shorter."""
    return [float(sum(len(b) < len(a) for b in completions)) for a in completions]


@customize.group
def leaving(completions: Any, rows: Any) -> list[float]:
    raise SystemExit(3)


@attrs.frozen
class GivenRows:
    """Rows as they are."""

    rows: Any
    kind: str = "prompt"
    fingerprint: str = "rows"

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int, /) -> Any:
        return self.rows[index]


def session(seed: int = 3) -> Any:
    return ToyBackend().load(None).open(customize.LoRA(), seed)


def steps(method: Any, on: Any = None, rows: Any = ROWS) -> list[customize.Step]:
    return list(method.train(session() if on is None else on, GivenRows(rows)))


def answers(snapshot: Any) -> Any:
    """Log-probabilities of many tokens: equal where the weights are."""
    tokens = np.random.default_rng(0).integers(0, 250, 2000, np.int32)
    batch = Batch.from_sequences([(tokens, {"weights": np.ones(len(tokens))})])
    return snapshot.forward(batch).result()


@customize.environment
def two_turns(row: Any, rng: random.Random) -> Any:
    reply = yield row["messages"]
    first = len(set(reply.text)) * (len(row["messages"][0]["content"]) % 7)
    reply = yield f"You said {first}."
    return {"first": first / 10, "second": len(set(reply.text)) / 10}


class OfTwo:
    """A policy on sequences of two tokens, each 0 or 1, known exactly: logits are its weights.

    The second token's distribution depends on the first: three Bernoulli variables.
    """

    def __init__(self, logits_3: Any) -> None:
        self.logits_3 = np.asarray(logits_3, np.float64)

    def logprobs(self, first: int, second: int) -> Any:
        """float64 [2]."""
        p = 1 / (1 + np.exp(-self.logits_3))
        one = np.array([p[0], p[1 + first]])
        said = np.array([first, second])
        return np.log(np.where(said == 1, one, 1 - one))

    def gradient(self, first: int, second: int, by_logprob_2: Any) -> Any:
        """Of a sum of by_logprob times logprob, by the logits: float64 [3]."""
        p = 1 / (1 + np.exp(-self.logits_3))
        out = np.zeros(3)
        out[0] = by_logprob_2[0] * (first - p[0])
        out[1 + first] = by_logprob_2[1] * (second - p[1 + first])
        return out
