"""report.html: a run on one page that needs nothing else. Trains and evaluates nothing.

All text is escaped by the template; the drawings are SVG in the page; there is no script.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import attrs

from customize._files import replace_text
from customize.evaluation.evaluate import MARGIN, Evaluation, Item, points
from customize.evaluation.statistics import Interval
from customize.runs.folder import RunFolder

EVALUATION, REPORT = "evaluation.json", "report.html"
_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 640, 220, 44, 24
_SHOWN = 12


@attrs.frozen
class Bar:
    """A rate on a line of 100 units."""

    text: str
    low: float
    at: float
    high: float


def write_report(folder: RunFolder, evaluation: Evaluation | None = None) -> Path:
    """Write the page, with ``evaluation`` or the one that is kept; returns its path."""
    from jinja2 import Environment, StrictUndefined

    if evaluation is not None:
        replace_text(folder.path / EVALUATION, json.dumps(evaluation.to_json(), indent=1))
    page = Environment(autoescape=True, undefined=StrictUndefined).from_string(
        files(__package__).joinpath(REPORT).read_text("utf-8")
    )
    kept = evaluation or evaluation_of(folder)
    path = folder.path / REPORT
    replace_text(path, page.render(**_facts(folder), **_compared(kept)))
    return path


def evaluation_of(folder: RunFolder) -> Evaluation | None:
    """The evaluation that the folder keeps, or None."""
    file = folder.path / EVALUATION
    if not file.is_file():
        return None
    return Evaluation.from_json(json.loads(file.read_text("utf-8")))


def headline(evaluation: Evaluation) -> str:
    """The result in a sentence."""
    change = evaluation.change("customized", evaluation.rival)
    name = "the base with its best prompt" if evaluation.rival == "prompted" else "the base"
    better = (
        "is better than"
        if change.low > 0
        else "is worse than"
        if change.high < 0
        else "cannot be told apart from"
    )
    return (
        f"Customized {better} {name} on {len(evaluation.items)} rows: "
        f"{points(evaluation.rate('customized'))} % right, a change of "
        f"{points(change, signed=True)} points."
    )


def _facts(folder: RunFolder) -> dict[str, Any]:
    metrics = folder.metrics()
    return {
        "name": folder.path.name,
        "recipe": folder.recipe().to_dict(),
        "lineage": folder.lineage(),
        "steps": len(metrics),
        "tokens": int(sum(m.get("tokens", 0) for m in metrics)),
        "curves": _curves(metrics),
        "width": _WIDTH,
        "height": _HEIGHT,
    }


def _compared(evaluation: Evaluation | None) -> dict[str, Any]:
    if evaluation is None or "customized" not in evaluation.columns:
        return {"evaluation": None}
    traits = evaluation.traits if len(evaluation.traits) > 1 else ()
    rows = [
        {
            "trait": trait or "all",
            "num_rows": sum(trait in (None, item.trait) for item in evaluation.items),
            "bars": [_bar(evaluation.rate(column, trait)) for column in evaluation.columns],
            "change": points(evaluation.change("customized", evaluation.rival, trait), True),
        }
        for trait in (*traits, None)
    ]
    return {
        "evaluation": evaluation,
        "headline": headline(evaluation),
        "rows": rows,
        "general": _general(evaluation) if evaluation.general else None,
        "answers": _spread(evaluation.items),
    }


def _general(evaluation: Evaluation) -> dict[str, Any]:
    return {
        "num_items": len(evaluation.general),
        "base": points(evaluation.general_rate("base")),
        "customized": points(evaluation.general_rate("customized")),
        "change": points(evaluation.general_change(), signed=True),
        "verdict": evaluation.general_verdict(),
        "margin": f"{100 * MARGIN:.0f}",
    }


def _spread(items: Sequence[Item]) -> list[Item]:
    """Rows at even distances: neither the best nor the worst."""
    count = min(_SHOWN, len(items))
    return [items[i * len(items) // count] for i in range(count)]


def _bar(rate: Interval) -> Bar:
    return Bar(points(rate), 100 * rate.low, 100 * rate.estimate, 100 * rate.high)


def _curves(metrics: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Points of the training loss and of the first held-out measure, in the drawing's units."""
    series = {"training": [(m["step"], m["loss"]) for m in metrics if "loss" in m]}
    held = [(m["step"], m["validation_loss"]) for m in metrics if "validation_loss" in m]
    if held:
        series["held out"] = held
    values = [value for line in series.values() for _, value in line]
    if not values:
        return {"lines": {}, "top": "", "steps": 0}
    top, last = max(values) * 1.05 or 1.0, max(step for line in series.values() for step, _ in line)
    lines = {
        name: " ".join(f"{_across(s, last):.1f},{_up(v, top):.1f}" for s, v in line)
        for name, line in series.items()
    }
    return {"lines": lines, "top": f"{top:.2f}", "steps": int(last)}


def _across(step: float, last: float) -> float:
    return _LEFT + (_WIDTH - _LEFT - 8) * (step / last)


def _up(value: float, top: float) -> float:
    return (_HEIGHT - _BOTTOM) * (1 - value / top) + 4
