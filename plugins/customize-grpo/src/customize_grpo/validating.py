"""Held-out rows: pass@1 and pass@k, by the same driver that training has. Trains nothing."""

from __future__ import annotations

import warnings
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import attrs
import numpy as np

from customize import (
    Ask,
    Dataset,
    Environment,
    Episode,
    EpisodesFailed,
    Snapshot,
    episode_seed,
)
from customize_grpo.choices import Choices
from customize_grpo.gathering import counted, driver, traced

_SEED = 0  # the same episodes each time, so that measures of one run can be compared


def passes(
    choices: Choices, environment: Environment, snapshot: Snapshot, rows: Dataset
) -> Mapping[str, float]:
    """``validation_loss`` (the mean reward's negative), the reward, its parts and pass rates.

    pass@1 is the share of episodes that the environment rewards at least ``solved``; pass@k of rows
    with at least one among ``validation_samples``. ``validation_errors/…`` are shares that failed.
    Rewards count as in training, and what ``truncated=drop`` leaves out there is measured.

    Raises:
        EpisodesFailed: more than ``max_errors`` of them, or nothing is left to measure on.
    """
    number = choices.validation_samples
    asks = [
        Ask(rows[place], place, place, index, episode_seed(_SEED, 0, place, index))
        for place in range(len(rows))
        for index in range(number)
    ]
    episodes = driver(choices, environment).play(snapshot, asks)
    _check(choices, environment, episodes)
    sound = [episode for episode in episodes if not episode.failed]
    passed: defaultdict[int, list[bool]] = defaultdict(list)
    for episode in sound:
        passed[episode.group].append(episode.reward >= choices.solved)
    every = "judge" if choices.truncated == "drop" else choices.truncated
    measured = attrs.evolve(choices, truncated=every)  # type: ignore[misc]  # options are attrs
    sound = counted(measured, sound)
    reward = float(np.mean([episode.reward for episode in sound]))
    names = sorted({name for episode in sound for name in episode.parts})
    parts = {n: float(np.mean([e.parts[n] for e in sound if n in e.parts])) for n in names}
    errors = Counter(str(e.error).partition(":")[0] for e in episodes if e.error is not None)
    return {
        "validation_loss": -reward,
        "validation_reward": reward,
        **{f"validation_reward/{name}": value for name, value in parts.items()},
        "pass@1": float(np.mean([one for group in passed.values() for one in group])),
        f"pass@{number}": float(np.mean([any(group) for group in passed.values()])),
        **{f"validation_errors/{kind}": n / len(episodes) for kind, n in sorted(errors.items())},
    }


def _check(choices: Choices, environment: Environment, episodes: Sequence[Episode]) -> None:
    """Tell the first that failed; each measure plays the same, so that it is shown once."""
    failed = [episode for episode in episodes if episode.error is not None]
    if not failed:
        return
    told = f"the first held-out episode that failed: {traced(failed[0], environment)}"
    share = f"{len(failed)} of {len(episodes)} held-out episodes failed"
    if len(failed) > choices.max_errors * len(episodes):
        raise EpisodesFailed(
            f"{share}, of which max_errors allows {choices.max_errors:.0%}; {told}"
        )
    if all(episode.failed for episode in episodes):
        raise EpisodesFailed(
            f"nothing is left to measure on: {share}, and all that are judged beside them are left "
            f"out: mend the reward or its judge of siblings, or hold out more rows; {told}"
        )
    warnings.warn(told, stacklevel=2)
