"""Gates against an evaluation: pass, fail, or inconclusive with the rows they would need."""

from __future__ import annotations

import math
from collections.abc import Iterable

import attrs

from customize._errors import OptionError
from customize.evaluation.evaluation import Evaluation, GateResult
from customize.evaluation.measures import change
from customize.evaluation.playing import ONE, REWARD
from customize.evaluation.scoring import EXPECT, RIGHT, Fault
from customize.evaluation.statistics import (
    Interval,
    Verdict,
    detectable,
    deviation,
    non_inferior,
    rows_needed,
    superior,
)
from customize.evaluation.wording import amount, points
from customize.interfaces.gate import Gate

GENERAL = "general"  # right answers on the general suite; general.METRIC is another of its metrics


class _NoScore(OptionError):
    """No row has the score, or the figure is not there."""


@attrs.frozen
class _Measured:
    """What a gate looks at. gain: so that more is better, whatever the metric."""

    gain: Interval
    num_items: int
    new: str
    old: str
    num_faults: int
    is_rate: bool


def judged(evaluation: Evaluation, gates: Iterable[Gate]) -> Evaluation:
    """The evaluation with what became of the gates.

    Raises:
        OptionError: a gate speaks of a column, metric or slice that is not there.
    """
    return attrs.evolve(evaluation, gates=tuple(judge(evaluation, gate) for gate in gates))


def judge(evaluation: Evaluation, gate: Gate) -> GateResult:
    """One gate; a metric with faults never passes, as what is missing might be what is wrong."""
    try:
        measured = _measured(evaluation, gate)
    except _NoScore:
        failed = _faults(evaluation, gate.metric, gate.slice)
        if not failed:
            raise
        return GateResult(
            str(gate), "inconclusive", f"{failed[0].scorer} failed: {failed[0].error}"
        )
    verdict = _verdict(gate, measured.gain)
    told = _told(gate, measured, verdict)
    if measured.num_faults and verdict == "pass":
        return GateResult(
            str(gate), "inconclusive", f"{told}, but {measured.num_faults} scores are missing"
        )
    return GateResult(str(gate), verdict, told)


def _verdict(gate: Gate, gain: Interval) -> Verdict:
    return superior(gain) if gate.claim == "better" else non_inferior(gain, gate.margin)


def _measured(evaluation: Evaluation, gate: Gate) -> _Measured:
    if (suite := evaluation.general) is not None and gate.metric.split(".")[0] == GENERAL:
        return _measured(suite, attrs.evolve(gate, metric=gate.metric.partition(".")[2] or RIGHT))
    new, old = gate.of or evaluation.new, gate.than or evaluation.rival
    for name in (new, old):
        if name is None or name not in evaluation.columns:
            there = ", ".join(evaluation.columns)
            raise OptionError(f"{gate}: no column {name!r}: there are {there}")
    assert old is not None
    if gate.metric in evaluation.summaries:
        return _of_summary(evaluation, gate, new, old)
    metric = gate.metric
    found = change(evaluation.of(gate.slice), metric, new, old)
    if found is None:
        raise _no_score(evaluation, gate, new, old)
    gain = _gain(evaluation, metric, found.interval)
    missing = len(_faults(evaluation, metric, gate.slice))
    return _Measured(gain, found.num_items, new, old, missing, metric in evaluation.rates)


def _of_summary(evaluation: Evaluation, gate: Gate, new: str, old: str) -> _Measured:
    if gate.slice:
        raise OptionError(f"{gate}: {gate.metric} is measured on all rows, not by slice")
    found = evaluation.summaries[gate.metric].get(f"{new} - {old}")
    if found is None:
        raise _no_score(evaluation, gate, new, old)
    gain = _gain(evaluation, gate.metric, found)
    num_faults = len(_faults(evaluation, gate.metric, None))
    return _Measured(gain, len(evaluation.items), new, old, num_faults, is_rate=False)


def _no_score(evaluation: Evaluation, gate: Gate, new: str, old: str) -> _NoScore:
    among = [
        *evaluation.metric_names,
        *evaluation.summaries,
        *([GENERAL] if evaluation.general else []),
    ]
    if gate.metric in among:
        return _NoScore(f"{gate}: no row has the score {gate.metric!r} of both {new} and {old}")
    return _NoScore(f"{gate}: no score {gate.metric!r}: there are {', '.join(among)}")


def _faults(evaluation: Evaluation, metric: str, slice: str | None) -> list[Fault]:
    """What left the metric out, but for rows that are known to be outside the slice.

    A row whose episodes all failed is no item, and may be of any slice.
    """
    scorer, among = _scorer(evaluation, metric), {item.id for item in evaluation.of(slice)}
    outside = {item.id for item in evaluation.items} - among
    return [one for one in evaluation.faults if one.scorer == scorer and one.item not in outside]


def _scorer(evaluation: Evaluation, metric: str) -> str:
    """What faults of the metric are told by; an episode that failed has none of its scores."""
    if metric == RIGHT:
        return EXPECT
    is_played = {ONE, metric} <= {*evaluation.metric_names}
    return REWARD if is_played else metric.partition(".")[0]


def _gain(evaluation: Evaluation, metric: str, interval: Interval) -> Interval:
    if metric not in evaluation.lower_is_better:
        return interval
    return Interval(-interval.estimate, -interval.high, -interval.low)


def _told(gate: Gate, measured: _Measured, verdict: Verdict) -> str:
    gain, n = measured.gain, measured.num_items
    shown = f"{points(gain, True)} points" if measured.is_rate else amount(gain, True)
    seen = f"{measured.new} against {measured.old} on {n} rows: a gain of {shown}"
    if not gain.is_defined:
        return f"{measured.new} against {measured.old} on {n} rows: {gate.metric} is not defined"
    if verdict != "inconclusive":
        return seen
    spread, distance = deviation(gain, n), gain.estimate + gate.margin
    least = detectable(spread, n)
    if not math.isfinite(least) or (measured.is_rate and least > 1):
        return f"{seen}; so few rows, or clusters of them, do not show how much it varies"
    if distance > 0:
        needed = rows_needed(spread, distance)
        about = f"about {needed}" if needed > n else f"more than {n}"
        return f"{seen}; {about} rows are needed"
    told = f"{100 * least:.0f} points" if measured.is_rate else f"{least:.3g}"
    return f"{seen}; so many rows show one of {told} or more"
