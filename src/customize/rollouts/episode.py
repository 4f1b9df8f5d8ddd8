"""Episodes: what was said, how it was judged, and its tokens. Knows neither models nor advantages.

Shape legend: T tokens of one sequence.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import numpy as np

from customize._batch import Floats, Ints
from customize.interfaces.dataset import Row


def episode_seed(seed: int, step: int, row: int, index: int) -> int:
    """The seed of an episode: neither order, retries nor the size of a batch change it."""
    told = hashlib.sha256(f"episode {seed} {step} {row} {index}".encode()).digest()
    return int.from_bytes(told[:8], "big") >> 1


@attrs.frozen
class Ask:
    """An episode that is to be played.

    row, place: the row, and its number in the data. index: the place in its group.
    """

    row: Row
    place: int
    group: int
    index: int
    seed: int


@attrs.frozen(eq=False)
class Spoken:
    """One sequence of tokens. tokens: int32 [T]. sampled: bool [T], where the model spoke.

    logprobs: float32 [T], what a ratio is to; 0 where it did not speak.
    of_policy: float32 [T], the policy's own where ``logprobs`` are its sampler's; None where they
        are the same.
    """

    tokens: Ints
    sampled: Any  # bool [T]
    logprobs: Floats
    of_policy: Floats | None = None

    @property
    def policy_logprobs(self) -> Floats:
        """float32 [T], at temperature 1 and with nothing cut off; 0 where it did not speak."""
        return self.logprobs if self.of_policy is None else self.of_policy

    @property
    def spans(self) -> Ints:
        """Where each reply begins and ends: [R, 2]."""
        edges = np.flatnonzero(np.diff(self.sampled.astype(np.int8), prepend=0, append=0))
        return edges.reshape(-1, 2).astype(np.int32)

    def to_json(self) -> dict[str, Any]:
        """Exactly, as JSON values."""
        own = {} if self.of_policy is None else {"of_policy": self._told(self.of_policy)}
        return {
            "tokens": self.tokens.tolist(),
            "spans": self.spans.tolist(),
            "logprobs": self._told(self.logprobs),
            **own,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Spoken:
        """What ``to_json`` gave."""
        tokens = np.asarray(value["tokens"], np.int32)
        sampled = np.zeros(len(tokens), bool)
        for start, end in value["spans"]:
            sampled[start:end] = True
        own = value.get("of_policy")
        of_policy = None if own is None else _spread(own, sampled)
        return cls(tokens, sampled, _spread(value["logprobs"], sampled), of_policy)

    def _told(self, logprobs: Floats) -> list[float]:
        return [float(value) for value in logprobs[self.sampled]]


def _spread(told: Sequence[float], sampled: Any) -> Floats:
    """float32 [T] of what was kept of sampled tokens alone."""
    logprobs = np.zeros(len(sampled), np.float32)
    logprobs[sampled] = told
    return logprobs


@attrs.frozen(eq=False, kw_only=True)
class Episode:
    """An episode that has ended.

    sequences: more than one where the environment restarted.
    reward, parts: NaN and none where it failed.
    stop: ``done``; ``length`` where the last reply was cut, ``turns`` or ``tokens`` where there
        was no room for another.
    faults: the model's, by kind; ``turns`` or ``tokens`` where it took too many to come to an end.
    calls: of each tool, how many and their seconds.
    error: what went wrong in the environment, as ``Type: message``; then nothing is learnt of it.
    void: a sibling went wrong, so that a judge of siblings has nothing to say of this one: nothing
        is learnt of it either, and it is no error of its own.
    messages: what was said, for people.
    seconds: spent in the environment; of those that play at once each has a share.
    """

    place: int
    group: int
    index: int
    seed: int
    sequences: tuple[Spoken, ...]
    reward: float
    parts: Mapping[str, float]
    turns: int
    stop: str
    faults: Mapping[str, int]
    calls: Mapping[str, tuple[int, float]]
    messages: Sequence[Mapping[str, str]]
    seconds: float
    error: str | None = None
    traceback: str | None = None
    void: bool = False

    @property
    def failed(self) -> bool:
        """Nothing is learnt of it: it went wrong, or a sibling that it is judged beside."""
        return self.error is not None or self.void

    @property
    def truncated(self) -> bool:
        """It ended for want of tokens or turns, and not because it was over."""
        return self.stop != "done"

    @property
    def completion(self) -> str:
        """The last thing the model said."""
        said = (m["content"] for m in reversed(self.messages) if m["role"] == "assistant")
        return next(said, "")

    @property
    def num_sampled(self) -> int:
        """Tokens that the model spoke."""
        return sum(int(s.sampled.sum()) for s in self.sequences)

    @property
    def longest_reply(self) -> int:
        """Tokens of the longest thing that the model said."""
        return max((int(np.ptp(span)) for s in self.sequences for span in s.spans), default=0)

    def to_json(self) -> dict[str, Any]:
        """Exactly, as JSON values."""
        plain = attrs.asdict(self, filter=lambda a, _: a.name != "sequences")
        reward = None if self.failed else self.reward
        return {**plain, "reward": reward, "sequences": [s.to_json() for s in self.sequences]}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Episode:
        """What ``to_json`` gave."""
        known = {name: value[name] for name in attrs.fields_dict(cls) if name in value}
        known["sequences"] = tuple(Spoken.from_json(s) for s in value["sequences"])
        known["reward"] = float("nan") if value["reward"] is None else value["reward"]
        known["calls"] = {name: (n, seconds) for name, (n, seconds) in value["calls"].items()}
        return cls(**known)
