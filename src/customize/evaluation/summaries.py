"""Figures over all items that are no means, each with a bootstrap interval.

Shape legend: N items, R resamples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from customize.evaluation.item import Item, Sample
from customize.evaluation.measures import Floats
from customize.evaluation.statistics import Interval, bootstrap, cluster_numbers
from customize.interfaces.scorer import Scorer


def summaries(
    items: Sequence[Item], columns: Sequence[str], scorers: Mapping[str, Scorer]
) -> dict[str, dict[str, Interval]]:
    """By ``scorer.figure``, then column, or ``new - old`` on the same items."""
    found: dict[str, dict[str, Interval]] = {}
    for name, scorer in scorers.items():
        for column in columns:
            for figure, interval in _of(items, name, scorer, [column]).items():
                found.setdefault(f"{name}.{figure}", {})[column] = interval
        for new in columns:
            for old in columns:
                pair = _of(items, name, scorer, [new, old]) if new != old else {}
                for figure, interval in pair.items():
                    found[f"{name}.{figure}"][f"{new} - {old}"] = interval
    return found


def _of(
    items: Sequence[Item], name: str, scorer: Scorer, columns: Sequence[str]
) -> dict[str, Interval]:
    """Of one column; of two, the first minus the second. Answers to one row stay together."""
    drawn = [
        (item.cluster or str(number), parts)
        for number, item in enumerate(items)
        for samples in zip(*(item.of(column) for column in columns), strict=True)
        if all(parts := [_parts(sample, name) for sample in samples])
    ]
    if not drawn:
        return {}
    scores = [_matrix([parts[n] for _, parts in drawn]) for n in range(len(columns))]
    clusters_N = cluster_numbers([key for key, _ in drawn])

    def statistic(figure: str, weights_RN: Floats) -> Floats:
        values = [scorer.summary(each, weights_RN)[figure] for each in scores]
        return values[0] if len(values) == 1 else values[0] - values[1]

    figures = scorer.summary(scores[0], np.ones((1, len(drawn))))
    return {
        figure: bootstrap(lambda w, f=figure: statistic(f, w), len(drawn), clusters_N)  # type: ignore[misc]
        for figure in figures
    }


def _parts(sample: Sample, name: str) -> dict[str, float]:
    prefix = f"{name}."
    return {
        metric.removeprefix(prefix): value
        for metric, value in sample.scores.items()
        if metric == name or metric.startswith(prefix)
    }


def _matrix(rows: Sequence[Mapping[str, float]]) -> dict[str, Floats]:
    return {part: np.array([row.get(part, np.nan) for row in rows]) for part in rows[0]}
