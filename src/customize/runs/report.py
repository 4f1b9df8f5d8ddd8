"""report.html: a run, or an evaluation, on one page that needs nothing else. Evaluates nothing.

All text is escaped by the template; the drawings are SVG in the page; there is no script.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any

import attrs

from customize._errors import DataError
from customize._files import replace_text
from customize.evaluation.evaluation import FEW, MARGIN, Evaluation
from customize.evaluation.item import Item
from customize.evaluation.measures import estimate
from customize.evaluation.remarks import headline, remarks
from customize.evaluation.results import read, write
from customize.evaluation.scoring import RIGHT
from customize.evaluation.statistics import Interval
from customize.evaluation.suites import general as suite
from customize.evaluation.wording import amount, label, points
from customize.runs.assistant import adapted_told
from customize.runs.card import write_card
from customize.runs.drawings import curves, risk_curves
from customize.runs.folder import RunFolder

if TYPE_CHECKING:
    from jinja2 import Template

REPORT = "report.html"
_SHOWN, _COMPLETIONS = 12, 5
_WATCHED = {"reward", "margin"}  # either tells that there is more to watch than a loss
_SIGNS = {"pass": "\u2713 passed", "fail": "\u2717 failed", "inconclusive": "? inconclusive"}


@attrs.frozen
class Bar:
    """A rate on a line of 100 units."""

    low: float
    at: float
    high: float


def keep(evaluation: Evaluation, folder: Path, run: RunFolder | None) -> None:
    """Write an evaluation's files and page into ``folder``, and into the run's page and card.

    The pages come first: what was killed before ``results.json`` is done again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    replace_text(folder / REPORT, _page(None, evaluation))
    if run is not None and folder == run.evaluation:
        _write_pages(run, evaluation)
    write(evaluation, folder)


def write_report(folder: RunFolder) -> Path:
    """Write the run's page and card, with the evaluation that is kept; returns the page's path."""
    return _write_pages(folder, evaluation_of(folder))


def _write_pages(folder: RunFolder, evaluation: Evaluation | None) -> Path:
    path = folder.path / REPORT
    replace_text(path, _page(folder, evaluation))
    write_card(folder, folder.recipe(), evaluation)
    return path


def evaluation_of(folder: RunFolder) -> Evaluation | None:
    """The evaluation that the folder keeps, or None; one of an older version is none."""
    try:
        return read(folder.evaluation)
    except DataError:
        return None


def _page(folder: RunFolder | None, evaluation: Evaluation | None) -> str:
    run = None if folder is None else _facts(folder)
    compared = None if evaluation is None else _compared(evaluation)
    return _template().render(run=run, evaluation=compared)


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    return Environment(autoescape=True, undefined=StrictUndefined).from_string(
        files(__package__).joinpath(REPORT).read_text("utf-8")
    )


def _facts(folder: RunFolder) -> dict[str, Any]:
    metrics = folder.metrics()
    return {
        "name": folder.path.name,
        "recipe": {k: v for k, v in folder.recipe().to_dict().items() if k != "evaluate"},
        "lineage": folder.lineage(),
        "steps": len(metrics),
        "tokens": int(sum(m.get("tokens", 0) for m in metrics)),
        "measure": "reward" if _is_rewarded(metrics) else "loss",
        "adapted": adapted_told(folder.assistant_kept()),
        "packages": [_package(to, about) for to, about in folder.packages().items()],
        "curves": curves(metrics, "reward" if _is_rewarded(metrics) else "loss"),
        "watched": _watched(metrics) if metrics and _WATCHED & metrics[-1].keys() else [],
        "completions": _completions(folder) if _is_rewarded(metrics) else None,
    }


def _package(to: str, about: Mapping[str, Any]) -> dict[str, str]:
    """As it was measured when it was exported."""
    measured = about["measured"]
    busy = measured.get("cores_busy_elsewhere")
    speed = measured.get("tokens_per_s")
    memory = measured.get("memory_bytes")
    failed = ", failed its proof" if about["verdict"] == "failed" else ""
    return {
        "name": Path(to).name,
        "form": f"{about['format'].rpartition(':')[2]}, {about['precision']}{failed}",
        "first": f"{measured['first_token_s']:.2g} s, {measured['prompt_tokens']:.0f}",
        "speed": "" if speed is None else f"{speed:,.0f}",
        "memory": "" if memory is None else f"{memory / 1e6:,.0f} MB",
        "size": f"{measured['package_bytes'] / 1e6:,.1f} MB",
        "busy": "" if busy is None else f"{busy:.1f} of {measured['cores']:.0f}",
    }


def _is_rewarded(metrics: Sequence[Mapping[str, float]]) -> bool:
    return bool(metrics) and "reward" in metrics[-1]


def _watched(metrics: Sequence[Mapping[str, float]]) -> list[dict[str, str]]:
    """Every metric at the first step and at the last that has it."""
    names = dict.fromkeys(name for step in metrics for name in step if name != "step")
    found = {name: [step[name] for step in metrics if name in step] for name in names}
    return [
        {"name": name, "first": f"{values[0]:.4g}", "last": f"{values[-1]:.4g}"}
        for name, values in found.items()
    ]


def _completions(folder: RunFolder) -> dict[str, Any]:
    """Of the last step: what was rewarded most, and what was said most often."""
    episodes = [episode for episode in folder.episodes() if not episode["error"]]
    said = [(episode, _last_said(episode)) for episode in episodes]
    best = sorted(said, key=lambda one: -one[0]["reward"])[:_COMPLETIONS]
    often = Counter(text for _, text in said).most_common(_COMPLETIONS)
    return {
        "step": episodes[0]["step"] if episodes else 0,
        "best": [{"reward": f"{one['reward']:.3g}", "text": text} for one, text in best],
        "often": [{"count": count, "of": len(said), "text": text} for text, count in often],
    }


def _last_said(episode: Mapping[str, Any]) -> str:
    said = [m["content"] for m in episode["messages"] if m["role"] == "assistant"]
    return shorten(said[-1], 300) if said else ""


def _compared(evaluation: Evaluation) -> dict[str, Any]:
    return {
        "name": evaluation.new,
        "told": evaluation.told,
        "headline": headline(evaluation),
        "verdict": _SIGNS[evaluation.verdict()] if evaluation.gates else None,
        "kind": evaluation.verdict(),
        "gates": [{"sign": _SIGNS[g.verdict], **attrs.asdict(g)} for g in evaluation.gates],
        **_lines(evaluation),
        "few": FEW,
        "risks": risk_curves(evaluation),
        "costs": _costs(evaluation),
        "remarks": remarks(evaluation),
        "general": _general(evaluation),
        "answers": [_answers(evaluation, item) for item in _spread(evaluation.items)],
    }


def _lines(evaluation: Evaluation) -> dict[str, Any]:
    """The two tables: the first metric by slice, and the others."""
    first, *others = evaluation.metric_names
    return {
        "columns": evaluation.columns,
        "rival": evaluation.rival,
        "metric": "% right" if first == RIGHT else first,
        "rows": [
            _row(evaluation, first, slice)
            for slice in (*evaluation.slices, None)
            if _num_rows(evaluation, first, slice)
        ],
        "metrics": [_row(evaluation, metric, None, metric) for metric in others],
        "summaries": [_summary(evaluation, name) for name in evaluation.summaries],
    }


def _row(
    evaluation: Evaluation, metric: str, slice: str | None, name: str | None = None
) -> dict[str, Any]:
    """A line of the table; bars only for rates."""
    is_rate = metric in evaluation.rates
    show = points if is_rate else amount
    wanted = (metric, slice or "all")
    found = [c for c in evaluation.changes if (c.metric, c.slice) == wanted]
    worst = evaluation.worst_slice(metric)
    items, num_rows = evaluation.of(slice), _num_rows(evaluation, metric, slice)
    return {
        "name": name or label(slice),
        "is_all": slice is None and name is None,
        "num_rows": num_rows,
        "few": slice is not None and num_rows < FEW,
        "worst": worst is not None and slice == worst.slice,
        "cells": [_cell(evaluation, items, metric, column) for column in evaluation.columns],
        "change": show(found[0].interval, True) if found else "",
        "p": f"{found[0].p_holm:.2g}" if found else "",
    }


def _num_rows(evaluation: Evaluation, metric: str, slice: str | None) -> int:
    """How many have the metric, in any column."""
    return sum(
        any(metric in scores for scores in item.scores.values()) for item in evaluation.of(slice)
    )


def _cell(
    evaluation: Evaluation, items: Sequence[Item], metric: str, column: str
) -> dict[str, Any] | None:
    found = estimate(items, metric, column)
    if found is None:
        return None
    if metric not in evaluation.rates:
        return {"text": amount(found), "bar": None}
    return {"text": points(found), "bar": _bar(found)}


def _summary(evaluation: Evaluation, name: str) -> dict[str, Any]:
    found = evaluation.summaries[name]
    change = found.get(f"{evaluation.new} - {evaluation.rival}")
    return {
        "name": name,
        "cells": [amount(found[c]) if c in found else "" for c in evaluation.columns],
        "change": amount(change, True) if change else "",
    }


def _answers(evaluation: Evaluation, item: Item) -> dict[str, Any]:
    shown = dict.fromkeys((evaluation.rival or evaluation.base, evaluation.new))
    return {
        "question": item.question,
        "slices": [label(f"{field}={value}") for field, value in item.slices.items()],
        "flags": item.flags,
        "given": [
            {"column": c, "text": item.answers[c].text, "right": item.right(c)} for c in shown
        ],
    }


def _general(evaluation: Evaluation) -> dict[str, Any] | None:
    if evaluation.general is None or evaluation.rival is None:
        return None
    return {
        **_lines(evaluation.general),
        "num_items": sum(RIGHT in i.scores[evaluation.base] for i in evaluation.general.items),
        "num_shipped": suite.NUM_ITEMS,
        "change": points(evaluation.general_change(), signed=True),
        "verdict": evaluation.general_verdict(),
        "margin": f"{100 * MARGIN:.0f}",
    }


def _costs(evaluation: Evaluation) -> list[dict[str, str]]:
    return [
        {
            "column": column,
            "latency": f"{cost.p50_s:.2g} s, {cost.p95_s:.2g} s",
            "speed": _counted(cost.tokens_per_s),
            "tokens": _counted(cost.tokens_read, cost.tokens_written),
            "memory": _megabytes(cost.memory_bytes),
            "device": _megabytes(cost.device_bytes),
            "price": "" if cost.per_thousand is None else f"{cost.per_thousand:.3g}",
        }
        for column, cost in evaluation.costs.items()
    ]


def _counted(*counts: float | None) -> str:
    return ", ".join(f"{count:,.0f}" for count in counts if count is not None)


def _megabytes(count: int | None) -> str:
    return "" if count is None else f"{count / 1e6:,.0f} MB"


def _spread(items: Sequence[Item]) -> list[Item]:
    """Rows at even distances: neither the best nor the worst."""
    count = min(_SHOWN, len(items))
    return [items[i * len(items) // count] for i in range(count)]


def _bar(rate: Interval) -> Bar:
    return Bar(100 * rate.low, 100 * rate.estimate, 100 * rate.high)
