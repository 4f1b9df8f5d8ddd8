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
    part. changes: the last column less each other one, paired by row and seed; the episodes of a
    row count as one cluster.
    failed: episodes that failed for one of them and were left out of both, by error.
    """

    num_rows: int
    num_episodes: int
    means: Mapping[str, Mapping[str, Interval]]
    changes: Mapping[str, Mapping[str, Interval]]
    failed: Mapping[str, int]
    episodes: Mapping[str, Sequence[Episode]] = attrs.field(repr=False)

    def __str__(self) -> str:
        heads = [*self.means, *(f"less {name}" for name in self.changes)]
        names = list(next(iter(self.means.values())))
        width = max(map(len, names))
        lines = [f"{self.num_episodes} episodes of {self.num_rows} rows"]
        lines.append(" ".join([" " * width, *(f"{head:>24}" for head in heads)]))
        for name in names:
            shown = [_shown(figures[name]) for figures in self.means.values() if name in figures]
            shown += [_shown(c[name], "+") for c in self.changes.values() if name in c]
            lines.append(" ".join([f"{name:{width}}", *(f"{text:>24}" for text in shown)]))
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
    *others, last = columns
    changes = {
        other: {
            figure: mean(values[last][figure] - values_N, clusters_N)
            for figure, values_N in values[other].items()
            if figure in values[last]
        }
        for other in others
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
