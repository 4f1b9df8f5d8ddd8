"""Scores of items to estimates and paired changes. Knows which statistic suits which scores.

Shape legend: N items, M answers to them.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
import numpy.typing as npt

from customize.evaluation.item import Item
from customize.evaluation.statistics import (
    Interval,
    cluster_numbers,
    mcnemar,
    mean,
    rate,
    rate_difference,
    sign_flip,
)

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

Drawn = Sequence[tuple[float, ...]]  # by item: the score of each answer


@attrs.frozen
class Change:
    """new minus old on the items that both have a score of. p is not corrected, p_holm is."""

    metric: str
    new: str
    old: str
    slice: str
    num_items: int
    num_clusters: int | None
    interval: Interval
    p: float
    p_holm: float | None = None


def estimate(items: Sequence[Item], metric: str, column: str) -> Interval | None:
    """Rates by Wilson's interval, other means by Student's; None where nothing has the score.

    A rate's answers are all 0 or 1; several to a row are a cluster.
    """
    chosen = [item for item in items if metric in item.scores.get(column, {})]
    if not chosen:
        return None
    drawn = [_drawn(item, metric, column) for item in chosen]
    if not _binary(drawn):
        return mean(_means(drawn), _clusters(chosen))
    if (num := _num_each(drawn)) is None:
        return mean(_means(drawn), _clusters(chosen)).within(0.0, 1.0)
    return rate(np.array(drawn).ravel(), _answers_clusters(chosen, num))


def change(
    items: Sequence[Item], metric: str, new: str, old: str, slice: str = "all"
) -> Change | None:
    """Rates by Tango's interval and McNemar's test, other means by Student's and flipped signs.

    Of several answers a row the first of one is beside the first of the other, and so on.
    """
    chosen = [i for i in items if all(metric in i.scores.get(c, {}) for c in (new, old))]
    if not chosen:
        return None
    drawn = [[_drawn(item, metric, column) for item in chosen] for column in (new, old)]
    new_N, old_N = map(_means, drawn)
    clusters_N = _clusters(chosen)
    if clusters_N is None and _binary(drawn[0] + drawn[1]) and _num_each(drawn[0] + drawn[1]) == 1:
        p = mcnemar(int((new_N > old_N).sum()), int((new_N < old_N).sum()))
    else:
        p = sign_flip(new_N - old_N, clusters_N)
    num_clusters = None if clusters_N is None else int(clusters_N.max()) + 1
    interval = _difference(chosen, *drawn)
    return Change(metric, new, old, slice, len(chosen), num_clusters, interval, p)


def _difference(items: Sequence[Item], new: Drawn, old: Drawn) -> Interval:
    if not _binary([*new, *old]):
        return mean(_means(new) - _means(old), _clusters(items))
    if (num := _num_each([*new, *old])) is None:
        return mean(_means(new) - _means(old), _clusters(items)).within(-1.0, 1.0)
    new_M, old_M = np.array(new).ravel(), np.array(old).ravel()
    return rate_difference(new_M, old_M, _answers_clusters(items, num))


def _drawn(item: Item, metric: str, column: str) -> tuple[float, ...]:
    """The score of each answer; what only the row has, such as ``pass@4``, is one."""
    found = tuple(s.scores[metric] for s in item.of(column) if metric in s.scores)
    return found or (item.scores[column][metric],)


def _means(drawn: Drawn) -> Floats:
    return np.array([np.mean(scores) for scores in drawn])


def _num_each(drawn: Drawn) -> int | None:
    """Answers a row; None where rows differ, as those whose episodes failed do."""
    counts = {len(scores) for scores in drawn}
    return counts.pop() if len(counts) == 1 else None


def _answers_clusters(items: Sequence[Item], num_each: int) -> Ints | None:
    """Of all answers in order, [N * num_each]: those to one row belong together."""
    clusters_N = _clusters(items)
    if num_each == 1:
        return clusters_N
    return np.repeat(np.arange(len(items)) if clusters_N is None else clusters_N, num_each)


def _clusters(items: Sequence[Item]) -> Ints | None:
    if any(item.cluster is None for item in items):
        return None
    return cluster_numbers([str(item.cluster) for item in items])


def _binary(drawn: Drawn) -> bool:
    return all(value in (0.0, 1.0) for scores in drawn for value in scores)
