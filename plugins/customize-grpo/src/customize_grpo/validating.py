"""Held-out rows: pass@1 and pass@k, by the same driver that training has. Trains nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import numpy as np

from customize import Ask, Dataset, Environment, EpisodesFailed, Snapshot, episode_seed
from customize_grpo.choices import Choices
from customize_grpo.gathering import driver

_SEED = 0  # the same episodes each time, so that measures of one run can be compared


def passes(
    choices: Choices, environment: Environment, snapshot: Snapshot, rows: Dataset
) -> Mapping[str, float]:
    """``validation_loss`` (the mean reward's negative), the reward, its parts and pass rates.

    pass@1 is the share of episodes whose reward is at least ``solved``; pass@k of rows with at
    least one among ``validation_samples``.

    Raises:
        EpisodesFailed: all of them.
    """
    number = choices.validation_samples
    asks = [
        Ask(rows[place], place, place, index, episode_seed(_SEED, 0, place, index))
        for place in range(len(rows))
        for index in range(number)
    ]
    episodes = driver(choices, environment).play(snapshot, asks)
    sound = [episode for episode in episodes if not episode.failed]
    if not sound:
        first = next(episode for episode in episodes if episode.error is not None)
        raise EpisodesFailed(f"all held-out episodes failed; the first: {first.traceback}")
    passed: defaultdict[int, list[bool]] = defaultdict(list)
    for episode in sound:
        passed[episode.group].append(episode.reward >= choices.solved)
    reward = float(np.mean([episode.reward for episode in sound]))
    names = sorted({name for episode in sound for name in episode.parts})
    parts = {n: float(np.mean([e.parts[n] for e in sound if n in e.parts])) for n in names}
    return {
        "validation_loss": -reward,
        "validation_reward": reward,
        **{f"validation_reward/{name}": value for name, value in parts.items()},
        "pass@1": float(np.mean([one for group in passed.values() for one in group])),
        f"pass@{number}": float(np.mean([any(group) for group in passed.values()])),
    }
