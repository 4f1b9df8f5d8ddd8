"""How far a judge can be trusted: its agreement with people, and its rate put right by theirs.

Shape legend: N answers, R resamples.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from customize.evaluation.columns import Column
from customize.evaluation.item import Item
from customize.evaluation.judging.judge import Judge
from customize.evaluation.judging.verdicts import JUDGE, LABEL, STEADY
from customize.evaluation.statistics import (
    Interval,
    bootstrap,
    cluster_numbers,
    kappa,
    prediction_powered,
)

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_FEW = 50  # labels that show little

KAPPA, CORRECTED = "judge.kappa", "judge.corrected"


def judge_summaries(
    items: Sequence[Item], columns: Sequence[str]
) -> dict[str, dict[str, Interval]]:
    """Where people labelled: κ by column, and rates corrected, and their paired changes."""
    found: dict[str, dict[str, Interval]] = {KAPPA: {}, CORRECTED: {}}
    for column in columns:
        judged_N, labels_N, clusters_N = _of(items, [column])
        if np.isfinite(labels_N).any():
            found[KAPPA][column] = _agreement(judged_N, labels_N, clusters_N)
            corrected = prediction_powered(judged_N, labels_N, clusters_N)
            found[CORRECTED][column] = corrected.within(0.0, 1.0)
    for new, old in itertools.permutations(tuple(found[CORRECTED]), 2):
        judged_N, labels_N, clusters_N = _of(items, [new, old])
        if np.isfinite(labels_N).any():
            change = prediction_powered(judged_N, labels_N, clusters_N)
            found[CORRECTED][f"{new} - {old}"] = change.within(-1.0, 1.0)
    return {figure: by_column for figure, by_column in found.items() if by_column}


def judge_notes(
    judge: Judge | None, columns: Sequence[Column], items: Sequence[Item], rival: str | None
) -> list[str]:
    """Who judged by what, what is known of its agreement, and where it judges its own kind."""
    if judge is None:
        return []
    new = columns[-1].name
    labelled = sum(LABEL in s.scores for i in items for c in columns for s in i.of(c.name))
    among = [c for c in columns if judge.plan.of == "answers" or c.name in (new, rival)]
    return [
        f"{judge.column.told} judges {judge.plan.of} by: {judge.plan.criterion}",
        *_steadiness([s.scores[STEADY] for i in items for s in i.of(new) if STEADY in s.scores]),
        *_labels(labelled),
        *_kin(judge.column.family, among),
    ]


def _steadiness(steady: Sequence[float]) -> list[str]:
    if not steady:
        return []
    share = 100 * sum(steady) / len(steady)
    return [f"In {share:.0f} % of {len(steady)} pairs it says the same in both orders."]


def _labels(num: int) -> list[str]:
    if not num:
        return [
            "No person labelled these answers: whether people agree with the judge is not known."
        ]
    return [f"{num} labels are few: take {_FEW} to know the judge."] if num < _FEW else []


def _kin(family: str | None, among: Sequence[Column]) -> list[str]:
    kin = [column.name for column in among if family is not None and column.family == family]
    if not kin:
        return []
    named = ", ".join(kin)
    return [f"The judge is of the same family ({family}) as {named}: judges prefer their own kind."]


def _of(items: Sequence[Item], columns: Sequence[str]) -> tuple[Floats, Floats, Ints]:
    """What the judge said, what people did (NaN where nobody), and which row it is of.

    Of two columns, the first minus the second.
    """
    judged, labels, keys = [], [], []
    for number, item in enumerate(items):
        for drawn in zip(*(item.of(column) for column in columns), strict=True):
            if all(JUDGE in sample.scores for sample in drawn):
                judged.append([sample.scores[JUDGE] for sample in drawn])
                labels.append([sample.scores.get(LABEL, np.nan) for sample in drawn])
                keys.append(item.cluster or str(number))
    signs = np.array([1.0, -1.0][: len(columns)])
    clusters_N = cluster_numbers(keys) if keys else np.empty(0, np.int64)
    shape = (-1, len(columns))
    return (
        np.array(judged, np.float64).reshape(shape) @ signs,
        np.array(labels, np.float64).reshape(shape) @ signs,
        clusters_N,
    )


def _agreement(judged_N: Floats, labels_N: Floats, clusters_N: Ints) -> Interval:
    """κ of what both said: no, yes, or in pairs a tie."""
    known_N = np.isfinite(labels_N)
    ours_N, theirs_N = (np.sign(x[known_N] - 0.5) for x in (judged_N, labels_N))
    clusters = cluster_numbers([str(c) for c in clusters_N[known_N]])
    return bootstrap(lambda w: kappa(ours_N, theirs_N, w), len(ours_N), clusters)
