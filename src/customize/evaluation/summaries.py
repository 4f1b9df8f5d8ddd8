"""Figures over all items that are no means, each with a bootstrap interval.

Shape legend: N items, R resamples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import permutations

import numpy as np

from customize.evaluation.item import Item, Sample
from customize.evaluation.measures import Floats, Ints
from customize.evaluation.scoring import ALL, Fault, told_of
from customize.evaluation.statistics import Interval, bootstrap, cluster_numbers
from customize.interfaces.scorer import Scorer


def summaries(
    items: Sequence[Item], columns: Sequence[str], scorers: Mapping[str, Scorer]
) -> tuple[dict[str, dict[str, Interval]], list[Fault]]:
    """By ``scorer.figure``, then column, or ``new - old`` on the same items; and what failed."""
    found: dict[str, dict[str, Interval]] = {}
    faults: list[Fault] = []
    among = [[column] for column in columns] + [list(two) for two in permutations(columns, 2)]
    for name, scorer in scorers.items():
        for chosen in among:
            figures, fault = _of(items, name, scorer, chosen)
            for figure, interval in figures.items():
                found.setdefault(f"{name}.{figure}", {})[" - ".join(chosen)] = interval
            if fault is not None and (len(chosen) == 1 or not _named(name, faults)):
                faults.append(fault)
    return found, faults


def _named(scorer: str, faults: Sequence[Fault]) -> bool:
    """Whether it is told already: what fails for a column fails for its changes too."""
    return any(fault.scorer == scorer for fault in faults)


def _of(
    items: Sequence[Item], name: str, scorer: Scorer, columns: Sequence[str]
) -> tuple[dict[str, Interval], Fault | None]:
    """Of one column; of two, the first minus the second. Answers to one row stay together."""
    drawn = [
        (item.cluster or str(number), parts)
        for number, item in enumerate(items)
        for samples in zip(*(item.of(column) for column in columns), strict=True)
        if all(parts := [_parts(sample, name) for sample in samples])
    ]
    if not drawn:
        return {}, None
    scores = [_matrix([parts[n] for _, parts in drawn]) for n in range(len(columns))]
    clusters_N = cluster_numbers([key for key, _ in drawn])
    try:
        figures = _figures(scorer, scores, clusters_N)
    except Exception as error:
        return {}, Fault(ALL, columns[0], name, told_of(error))
    return figures, _missing(figures, scores[0], name, columns[0])


def _figures(
    scorer: Scorer, scores: Sequence[Mapping[str, Floats]], clusters_N: Ints
) -> dict[str, Interval]:
    def statistic(figure: str, weights_RN: Floats) -> Floats:
        values = [scorer.summary(each, weights_RN)[figure] for each in scores]
        return values[0] if len(values) == 1 else values[0] - values[1]

    num = len(clusters_N)
    return {
        figure: bootstrap(partial(statistic, figure), num, clusters_N)
        for figure in scorer.summary(scores[0], np.ones((1, num)))
    }


def _missing(
    figures: Mapping[str, Interval], scores: Mapping[str, Floats], name: str, column: str
) -> Fault | None:
    """A figure that is not defined because some answers have not the parts that others have."""
    without = {part: int(np.isnan(values).sum()) for part, values in scores.items()}
    lacking = ", ".join(f"{num} answers have no {part!r}" for part, num in without.items() if num)
    undefined = [figure for figure, interval in figures.items() if not interval.is_defined]
    if not lacking or not undefined:
        return None
    return Fault(ALL, column, name, f"{', '.join(undefined)} is not defined: {lacking}")


def _parts(sample: Sample, name: str) -> dict[str, float]:
    prefix = f"{name}."
    return {
        metric.removeprefix(prefix): value
        for metric, value in sample.scores.items()
        if metric == name or metric.startswith(prefix)
    }


def _matrix(rows: Sequence[Mapping[str, float]]) -> dict[str, Floats]:
    """By part, NaN where a row has none."""
    parts = dict.fromkeys(part for row in rows for part in row)
    return {part: np.array([row.get(part, np.nan) for row in rows]) for part in parts}
