"""Gathering a step's episodes: which rows, again where they teach nothing, or never. Knows no loss.

All of it is a function of (seed, step, place) and of what is in ``state``, which is JSON.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from customize import (
    Ask,
    Dataset,
    Driver,
    Environment,
    Episode,
    EpisodesFailed,
    Sampling,
    Snapshot,
    episode_seed,
    overlong,
    shuffled_row,
)
from customize_grpo.choices import Choices

State = dict[str, Any]  # JSON values


@attrs.frozen
class Gathered:
    """The episodes of one step.

    version: the step after which the weights were that sampled them.
    seconds: of sampling, the environment's left out.
    """

    episodes: Sequence[Episode]
    version: int
    seconds: float

    def to_json(self) -> State:
        """Exactly, as JSON values."""
        return {
            "episodes": [episode.to_json() for episode in self.episodes],
            "version": self.version,
            "seconds": self.seconds,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Gathered:
        """What ``to_json`` gave."""
        episodes = [Episode.from_json(told) for told in value["episodes"]]
        return cls(episodes, value["version"], value["seconds"])


class Gatherer:
    """Samples steps ahead of training, ``lag`` of them, and gives the oldest."""

    def __init__(
        self, choices: Choices, environment: Environment, data: Dataset, seed: int, state: State
    ) -> None:
        self._choices = choices
        self._environment = environment
        self._data = data
        self._seed = seed
        self._told_failure = False  # only the first is told whole; all are counted
        self._place = int(state.get("place", 0))
        self._empty = int(state.get("empty", 0))  # steps in a row of which nothing is left
        self._pending = [Gathered.from_json(told) for told in state.get("pending", ())]

    def next(self, snapshot: Snapshot, number: int, total: int) -> Gathered:
        """The episodes of step ``number``; those of the steps ahead are sampled now.

        Raises:
            EpisodesFailed: more than ``max_errors`` of a step's, or all of two steps in a row are
                left out, as a judge of siblings leaves out a group in which one failed.
        """
        last = min(number + self._choices.lag, total)
        for ahead in range(number + len(self._pending), last + 1):
            self._pending.append(self._gather(snapshot, ahead, number - 1))
        return self._pending.pop(0)

    def state(self) -> State:
        """What a resumed run goes on from."""
        pending = [g.to_json() for g in self._pending]
        return {"place": self._place, "empty": self._empty, "pending": pending}

    def _gather(self, snapshot: Snapshot, step: int, version: int) -> Gathered:
        began = time.perf_counter()
        wanted = self._choices.batch_size
        episodes: list[Episode] = []
        for _ in range(1 + int(self._choices.refill or 0)):
            teaching = {e.group for e in learnable(self._choices, episodes)}
            if len(teaching) >= wanted:
                break
            episodes += self._play(snapshot, step, wanted - len(teaching))
        outside = sum(episode.seconds for episode in episodes)
        self._check(episodes)
        return Gathered(episodes, version, time.perf_counter() - began - outside)

    def _play(self, snapshot: Snapshot, step: int, num_prompts: int) -> list[Episode]:
        asks = [
            self._ask(step, place, index)
            for place in range(self._place, self._place + num_prompts)
            for index in range(self._choices.group_size)
        ]
        self._place += num_prompts
        return driver(self._choices, self._environment).play(snapshot, asks)

    def _ask(self, step: int, place: int, index: int) -> Ask:
        row = shuffled_row(self._seed, place, len(self._data))
        seed = episode_seed(self._seed, step, place, index)
        return Ask(self._data[row], row, place, index, seed)

    def _check(self, episodes: Sequence[Episode]) -> None:
        failed = [episode for episode in episodes if episode.error is not None]
        none_left = all(episode.failed for episode in episodes)
        self._empty = self._empty + 1 if none_left else 0
        if not failed:
            return
        told = f"{len(failed)} of {len(episodes)} episodes failed"
        first = f"the first: {traced(failed[0], self._environment)}"
        allowed = f"of which max_errors allows {self._choices.max_errors:.0%}"
        if len(failed) > self._choices.max_errors * len(episodes):
            raise EpisodesFailed(f"{told}, {allowed}; {first}")
        if self._empty > 1 and self._choices.max_errors < 1:
            raise EpisodesFailed(
                f"nothing is left of two steps in a row; of the second {told}, and all that are "
                "judged beside them are left out: mend the reward or its judge of siblings, or set "
                f"max_errors=1 to go on whatever fails; {first}"
            )
        if not self._told_failure:
            lost = "; nothing is learnt of this step" if none_left else ""
            warnings.warn(f"{told}, {allowed}{lost}; {first}", stacklevel=2)
            self._told_failure = True


def traced(episode: Episode, environment: Environment) -> str:
    """What went wrong in an episode, and how to play it again."""
    where = f"(row {episode.place + 1}, seed {episode.seed}, of {environment.name})"
    return f"{episode.error}\n{where}\n{episode.traceback}"


def driver(choices: Choices, environment: Environment) -> Driver:
    """The driver that these options ask for."""
    return Driver(
        environment,
        Sampling(
            max_tokens=choices.max_tokens, temperature=choices.temperature, top_p=choices.top_p
        ),
        max_turns=choices.max_turns,
        max_length=choices.max_length,
        observation_tokens=choices.observation_tokens,
        behaviour="sampler" if choices.behaviour == "sampler" else "policy",
        rewrites="restart" if choices.rewrites == "restart" else "refuse",
    )


def counted(choices: Choices, episodes: Sequence[Episode]) -> list[Episode]:
    """Those whose reward counts: not failed, and of those that were cut what ``truncated`` says;
    with what ``overlong`` takes off."""
    sound = [episode for episode in episodes if not episode.failed]
    if choices.truncated == "drop":
        sound = [episode for episode in sound if not episode.truncated]
    if choices.truncated == "penalise":
        sound = [attrs.evolve(e, reward=min(0.0, e.reward)) if e.truncated else e for e in sound]
    return [_shortened(choices, e) for e in sound] if choices.overlong else sound


def _shortened(choices: Choices, episode: Episode) -> Episode:
    """Less for its longest reply, where that is overlong, as a part of the reward."""
    if "overlong" in episode.parts:
        return episode
    limit = choices.max_tokens
    part = overlong(limit, max(1, round(limit * float(choices.overlong or 0))))
    fine = float(part(num_tokens=episode.longest_reply))
    return attrs.evolve(
        episode, reward=episode.reward + fine, parts={**episode.parts, "overlong": fine}
    )


def learnable(choices: Choices, episodes: Sequence[Episode]) -> list[Episode]:
    """Those that teach something: with siblings to compare with, and not all alike."""
    sound = [e for e in counted(choices, episodes) if e.num_sampled]
    if not choices.is_relative:
        return sound
    rewards: dict[int, list[float]] = {}
    for episode in sound:
        rewards.setdefault(episode.group, []).append(episode.reward)
    return [e for e in sound if len(set(rewards[e.group])) > 1]
