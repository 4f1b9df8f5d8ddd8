"""Scores of items to estimates and paired changes. Knows which statistic suits which scores.

Shape legend: N items.
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
    """Rates by Wilson's interval, other means by Student's; None where nothing has the score."""
    chosen = [item for item in items if metric in item.scores.get(column, {})]
    if not chosen:
        return None
    values_N = _scores(chosen, metric, column)
    clusters_N = _clusters(chosen)
    return rate(values_N, clusters_N) if _binary(values_N) else mean(values_N, clusters_N)


def change(
    items: Sequence[Item], metric: str, new: str, old: str, slice: str = "all"
) -> Change | None:
    """Rates by Tango's interval and McNemar's test, other means by Student's and flipped signs."""
    chosen = [i for i in items if all(metric in i.scores.get(c, {}) for c in (new, old))]
    if not chosen:
        return None
    new_N, old_N = _scores(chosen, metric, new), _scores(chosen, metric, old)
    clusters_N = _clusters(chosen)
    binary = _binary(new_N) and _binary(old_N)
    interval = (
        rate_difference(new_N, old_N, clusters_N) if binary else mean(new_N - old_N, clusters_N)
    )
    if binary and clusters_N is None:
        p = mcnemar(int((new_N > old_N).sum()), int((new_N < old_N).sum()))
    else:
        p = sign_flip(new_N - old_N, clusters_N)
    num_clusters = None if clusters_N is None else int(clusters_N.max()) + 1
    return Change(metric, new, old, slice, len(chosen), num_clusters, interval, p)


def _scores(items: Sequence[Item], metric: str, column: str) -> Floats:
    return np.array([item.scores[column][metric] for item in items])


def _clusters(items: Sequence[Item]) -> Ints | None:
    if any(item.cluster is None for item in items):
        return None
    return cluster_numbers([str(item.cluster) for item in items])


def _binary(values_N: Floats) -> bool:
    return bool(np.isin(values_N, (0.0, 1.0)).all())
