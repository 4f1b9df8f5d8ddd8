"""Lines of the report's drawings, as points in the drawing's units. Evaluates nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from customize.evaluation.evaluation import Evaluation
from customize.evaluation.scorers.calibration import coverage_risk

WIDTH, HEIGHT = 640, 220
_LEFT, _BOTTOM = 44, 24


UNITS = {"loss": "nats a token", "reward": "a mean over episodes"}


def curves(metrics: Sequence[Mapping[str, float]], name: str) -> dict[str, Any]:
    """A measure in training, ``loss`` or ``reward``, and the same on held-out rows, by step."""
    series = {"training": [(m["step"], m[name]) for m in metrics if name in m]}
    held_out = f"validation_{name}"
    held = [(m["step"], m[held_out]) for m in metrics if held_out in m]
    if held:
        series["held out"] = held
    last = max((step for line in series.values() for step, _ in line), default=0)
    return _drawn(series, UNITS[name], f"step {last:.0f}", digits=2)


def risk_curves(evaluation: Evaluation) -> list[dict[str, Any]]:
    """For each scorer of calibration: the share of wrong answers among the most confident."""
    suffix = ".confidence"
    names = [m.removesuffix(suffix) for m in evaluation.metric_names if m.endswith(suffix)]
    return [{"name": name, **_risk(evaluation, name)} for name in names if _held(evaluation, name)]


def _risk(evaluation: Evaluation, name: str) -> dict[str, Any]:
    series = {}
    for column in dict.fromkeys((evaluation.rival or evaluation.base, evaluation.new)):
        pairs = [
            (scores[f"{name}.confidence"], scores[f"{name}.held"])
            for item in evaluation.items
            for scores in (sample.scores for sample in item.of(column))
            if f"{name}.held" in scores
        ]
        if pairs:
            coverage, risk = coverage_risk(*np.array(pairs).T)
            series[column] = [(100 * c, 100 * r) for c, r in zip(coverage, risk, strict=True)]
    return _drawn(series, "% wrong", "% kept", digits=0)


def _held(evaluation: Evaluation, name: str) -> bool:
    return f"{name}.held" in evaluation.metric_names


def _drawn(
    series: Mapping[str, Sequence[tuple[float, float]]], unit: str, right: str, digits: int
) -> dict[str, Any]:
    """``unit`` is of what goes up, ``right`` what stands at the end of what goes across."""
    values = [value for line in series.values() for _, value in line]
    if not values:
        return {"lines": {}}
    low = min(0.0, *values)
    top = max(values) + 0.05 * (max(values) - low) or 1.0
    last = max(across for line in series.values() for across, _ in line)
    return {
        "lines": {name: _points(line, last, low, top) for name, line in series.items()},
        "unit": unit,
        "right": right,
        "top": f"{top:.{digits}f}",
        "low": f"{low:.3g}",
        "width": WIDTH,
        "height": HEIGHT,
    }


def _points(line: Iterable[tuple[float, float]], last: float, low: float, top: float) -> str:
    return " ".join(f"{_across(x, last):.1f},{_up(y - low, top - low):.1f}" for x, y in line)


def _across(value: float, last: float) -> float:
    return _LEFT + (WIDTH - _LEFT - 8) * (value / last)


def _up(value: float, top: float) -> float:
    return (HEIGHT - _BOTTOM) * (1 - value / top) + 4
