"""Environments as evaluators: base and customized play the same episodes. Knows no run folder.

Shape legend: N episodes that neither failed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
import numpy as np
import numpy.typing as npt

from customize._errors import EpisodesFailed
from customize.evaluation.statistics import Interval, cluster_numbers, mean
from customize.interfaces.backend import Snapshot
from customize.interfaces.environment import Rows
from customize.rollouts.driver import Driver, errors_by_type
from customize.rollouts.episode import Ask, Episode, episode_seed

Doubles = npt.NDArray[np.float64]
_STEP = -1  # no step of training has these seeds


@attrs.frozen
class Played:
    """What base and customized were rewarded, episode by episode, with intervals of 95 %.

    means: by column, then ``reward``, ``solved``, ``tokens``, ``turns``, ``truncated`` and each
    part. changes: customized less base, paired by row and seed; rows with several episodes count
    as one cluster.
    failed: episodes that failed for one of them and were left out of both, by error.
    """

    num_rows: int
    num_episodes: int
    means: Mapping[str, Mapping[str, Interval]]
    changes: Mapping[str, Interval]
    failed: Mapping[str, int]
    episodes: Mapping[str, Sequence[Episode]] = attrs.field(repr=False)

    def __str__(self) -> str:
        columns = list(self.means)
        names = list(self.means[columns[0]])
        width = max(map(len, names))
        lines = [f"{self.num_episodes} episodes of {self.num_rows} rows"]
        lines.append(" ".join([" " * width, *(f"{c:>24}" for c in columns), f"{'change':>24}"]))
        for name in names:
            shown = [_shown(self.means[column][name]) for column in columns]
            change = _shown(self.changes[name], "+") if name in self.changes else ""
            lines.append(" ".join([f"{name:{width}}", *(f"{s:>24}" for s in [*shown, change])]))
        lines += [f"left out: {count} × {error}" for error, count in self.failed.items()]
        return "\n".join(lines)


def play_columns(
    driver: Driver,
    columns: Mapping[str, Snapshot],
    rows: Rows,
    samples: int,
    seed: int,
    solved: float,
) -> Played:
    """Each column plays ``samples`` episodes of every row, from the same seeds.

    Raises:
        EpisodesFailed: no episode went well for all columns.
    """
    asks = [
        Ask(rows[row], row, row, index, episode_seed(seed, _STEP, row, index))
        for row in range(len(rows))
        for index in range(samples)
    ]
    played = {name: driver.play(snapshot, asks) for name, snapshot in columns.items()}
    failed = [any(p[i].failed for p in played.values()) for i in range(len(asks))]
    kept = [i for i, bad in enumerate(failed) if not bad]
    every = [episode for episodes in played.values() for episode in episodes]
    if not kept:
        first = next(episode for episode in every if episode.failed)
        raise EpisodesFailed(f"no episode went well; the first: {first.traceback}")
    clusters_N = cluster_numbers([str(asks[i].place) for i in kept])
    values = {
        name: _values([episodes[i] for i in kept], solved) for name, episodes in played.items()
    }
    names = list(columns)
    changes = {
        figure: mean(values[names[-1]][figure] - values[names[0]][figure], clusters_N)
        for figure in values[names[0]]
        if len(names) > 1 and figure in values[names[-1]]
    }
    return Played(
        num_rows=len(rows),
        num_episodes=len(kept),
        means={
            name: {figure: mean(v_N, clusters_N) for figure, v_N in figures.items()}
            for name, figures in values.items()
        },
        changes=changes,
        failed=dict(errors_by_type(every)),
        episodes=played,
    )


def _values(episodes: Sequence[Episode], solved: float) -> Mapping[str, Doubles]:
    parts = [name for name in episodes[0].parts if all(name in e.parts for e in episodes)]
    figures: dict[str, Sequence[float]] = {
        "reward": [e.reward for e in episodes],
        "solved": [e.reward >= solved for e in episodes],
        "tokens": [e.num_sampled for e in episodes],
        "turns": [e.turns for e in episodes],
        "truncated": [e.truncated for e in episodes],
        **{name: [e.parts[name] for e in episodes] for name in parts},
    }
    return {name: np.asarray(values, np.float64) for name, values in figures.items()}


def _shown(interval: Interval, sign: str = "") -> str:
    low, high = (f"{bound:{sign}.2f}" for bound in (interval.low, interval.high))
    return f"{interval.estimate:{sign}.3f} [{low}, {high}]"
