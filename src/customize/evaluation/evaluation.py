"""Evaluation: items that all columns answered, and what they show. Asks no model anything."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property

import attrs
import numpy as np

from customize._errors import DataError
from customize.evaluation.contamination import FROM_TRAINING
from customize.evaluation.cost import Cost
from customize.evaluation.item import Item
from customize.evaluation.measures import Change, change, estimate
from customize.evaluation.scoring import RIGHT, Fault
from customize.evaluation.statistics import (
    Interval,
    VarianceSplit,
    Verdict,
    holm,
    non_inferior,
    variance_split,
)

MARGIN = 0.10  # of general ability that a customization may cost: ten points
FEW = 20  # a slice of fewer rows says next to nothing

KEPT: Mapping[Verdict, str] = {"pass": "kept", "fail": "lost", "inconclusive": "inconclusive"}


@attrs.frozen
class GateResult:
    """What became of a gate. told: in a sentence, with the rows it would need."""

    gate: str
    verdict: Verdict
    told: str


@attrs.frozen(slots=False)
class Evaluation:
    """Items and the columns that answered them, in order.

    new: the column that is judged. rival: the one it has to beat; None where it is alone.
    told: who each column is. metric_names: in order, ``right`` first. summaries: figures that are
    no means, by name, then column or ``new - old``. general: an evaluation of its own on the
    general suite, if it was asked. costs: by column. decisions: what is cheaper from where on, in
    sentences.
    """

    columns: tuple[str, ...]
    items: tuple[Item, ...]
    new: str
    rival: str | None
    told: Mapping[str, str]
    metric_names: tuple[str, ...]
    lower_is_better: frozenset[str] = frozenset()
    summaries: Mapping[str, Mapping[str, Interval]] = attrs.field(factory=dict)
    faults: tuple[Fault, ...] = ()
    notes: tuple[str, ...] = ()
    general: Evaluation | None = None
    gates: tuple[GateResult, ...] = ()
    costs: Mapping[str, Cost] = attrs.field(factory=dict)
    decisions: tuple[str, ...] = ()

    @cached_property
    def rates(self) -> frozenset[str]:
        """The metrics that are 0 or 1 for every answer: their means are shares."""
        other = {
            metric
            for item in self.items
            for column in item.scores
            for sample in item.of(column)
            for metric, value in sample.scores.items()
            if value not in (0.0, 1.0)
        }
        return frozenset(self.metric_names) - other

    @cached_property
    def num_samples(self) -> int:
        """Answers a row."""
        return max((len(item.of(self.new)) for item in self.items), default=1)

    def variance(self, column: str, metric: str = RIGHT) -> VarianceSplit | None:
        """How much of the scores' variance is between rows, and how much between answers to one.

        None where one answer a row was drawn, or fewer than two rows have all scores.
        """
        drawn = [[s.scores.get(metric, math.nan) for s in i.of(column)] for i in self.items]
        most = max(map(len, drawn), default=0)  # a row whose episodes failed has fewer
        padded = [scores + [math.nan] * (most - len(scores)) for scores in drawn]
        scores_NK = np.array(padded, np.float64)
        scores_NK = scores_NK[np.isfinite(scores_NK).all(axis=1)]
        return variance_split(scores_NK) if min(scores_NK.shape) > 1 else None

    @property
    def slices(self) -> tuple[str, ...]:
        """``field=value``, in the order they first appear; a field of one value is left out."""
        seen: dict[str, dict[str, None]] = {}
        for item in self.items:
            for field, value in item.slices.items():
                seen.setdefault(field, {})[f"{field}={value}"] = None
        return tuple(one for values in seen.values() if len(values) > 1 for one in values)

    def of(self, slice: str | None) -> list[Item]:
        """The items of a slice, ``field=value``; all for None.

        Raises:
            DataError: no item is in it.
        """
        if slice is None:
            return list(self.items)
        field, _, value = slice.partition("=")
        chosen = [item for item in self.items if item.slices.get(field) == value]
        if not chosen:
            raise DataError(f"no row is in {slice!r}: there are {', '.join(self.slices) or 'none'}")
        return chosen

    @property
    def contaminated(self) -> list[Item]:
        """The items that share something with rows of training."""
        return [item for item in self.items if FROM_TRAINING.intersection(item.flags)]

    @property
    def clean(self) -> list[Item]:
        """The other items."""
        return [item for item in self.items if not FROM_TRAINING.intersection(item.flags)]

    def rate(self, column: str, slice: str | None = None, metric: str = RIGHT) -> Interval:
        """The metric's mean with its interval; that of ``right`` is the share of right answers.

        Raises:
            DataError: no item has the score.
        """
        found = estimate(self.of(slice), metric, column)
        if found is None:
            raise DataError(f"no row has the score {metric!r} ({', '.join(self.metric_names)})")
        return found

    def change(self, new: str, old: str, slice: str | None = None, metric: str = RIGHT) -> Interval:
        """``new`` minus ``old`` on the same items, with its interval.

        Raises:
            DataError: no item has the score in both.
        """
        found = change(self.of(slice), metric, new, old)
        if found is None:
            raise DataError(f"no row has the score {metric!r} of both {new} and {old}")
        return found.interval

    @cached_property
    def changes(self) -> tuple[Change, ...]:
        """The judged column against its rival: all metrics and slices, with Holm's p."""
        if self.rival is None:
            return ()
        found = [
            change(self.of(slice), metric, self.new, self.rival, slice or "all")
            for metric in self.metric_names
            for slice in (None, *self.slices)
        ]
        there = [one for one in found if one is not None]
        adjusted = holm([one.p for one in there])
        return tuple(attrs.evolve(c, p_holm=p) for c, p in zip(there, adjusted, strict=True))

    def worst_slice(self, metric: str = RIGHT) -> Change | None:
        """The slice of at least 20 rows that gained least, or lost most."""
        sign = -1 if metric in self.lower_is_better else 1
        among = [
            c
            for c in self.changes
            if c.metric == metric and c.slice != "all" and c.num_items >= FEW
        ]
        return min(among, key=lambda c: sign * c.interval.estimate, default=None)

    @property
    def metrics(self) -> dict[str, float]:
        """The first metric by column, and changes, each with its interval's ends, for trackers."""
        first = self.metric_names[0]
        found = {column: estimate(self.items, first, column) for column in self.columns}
        if self.rival is not None:
            moved = change(self.items, first, self.new, self.rival)
            found["change"] = None if moved is None else moved.interval
        if self.rival is not None and self.general:
            found["general_change"] = self.general_change()
        return {
            f"{name}{end}": value
            for name, x in found.items()
            if x is not None
            for end, value in (("", x.estimate), ("_low", x.low), ("_high", x.high))
            if math.isfinite(value)
        }

    def general_rate(self, column: str) -> Interval:
        """Share of the general suite's items that a column has right.

        Raises:
            DataError: they were not asked.
        """
        return self._general().rate(column)

    @property
    def base(self) -> str:
        """The first column."""
        return self.columns[0]

    def general_change(self) -> Interval:
        """The judged column minus the base on the general suite.

        Raises:
            DataError: they were not asked.
        """
        return self._general().change(self.new, self.base)

    def general_verdict(self) -> str:
        """Whether general ability is non-inferior to the base's by less than ``MARGIN``."""
        return KEPT[non_inferior(self.general_change(), MARGIN)]

    def _general(self) -> Evaluation:
        if self.general is None:
            raise DataError(
                "the general items were not asked: evaluate with --general (general=True)"
            )
        return self.general

    def verdict(self) -> str:
        """Of all gates together: the worst of theirs; ``pass`` where there are none."""
        verdicts: Sequence[str] = [gate.verdict for gate in self.gates]
        return next((v for v in ("fail", "inconclusive") if v in verdicts), "pass")
