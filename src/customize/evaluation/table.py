"""An evaluation as tables for a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from customize.evaluation.evaluation import FEW, MARGIN, Evaluation
from customize.evaluation.remarks import broken, remarks
from customize.evaluation.scoring import RIGHT
from customize.evaluation.wording import amount, label, points
from customize.training.evaluation_plan import PROMPTED, RETRIEVED

_LONGEST = 30  # of a name in 80 columns, beside a count and two figures with intervals

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table


def table(evaluation: Evaluation) -> Group:
    """Rates by slice, other metrics, and the judged column's change against its rival."""
    from rich.console import Group
    from rich.text import Text

    others = [_others(evaluation, column, *shown) for column, shown in _beside(evaluation).items()]
    return Group(_by_slice(evaluation), *others, Text(caption(evaluation)))


def _by_slice(evaluation: Evaluation) -> Table:
    first = evaluation.metric_names[0]
    made = _new("% right [95 %]" if first == RIGHT else first)
    for column in (*evaluation.columns, *(["change"] if evaluation.rival else [])):
        made.add_column(column, justify="right", no_wrap=True)
    worst = evaluation.worst_slice(first)
    for slice in (*evaluation.slices, None):
        num_rows = len(evaluation.of(slice))
        mark = " *" if worst is not None and slice == worst.slice else ""
        made.add_row(
            f"{_fitting(label(slice))}{mark}",
            str(num_rows),
            *_cells(evaluation, first, slice, evaluation.columns),
            style="dim" if slice and num_rows < FEW else None,
        )
    if evaluation.general:
        made.add_row(
            "general ability",
            _count(evaluation.general, RIGHT, evaluation.new),
            *_general(evaluation),
        )
    return made


def _beside(evaluation: Evaluation) -> dict[str, tuple[list[str], list[str]]]:
    """Other metrics, and figures over all rows: the judged column's, and what only passages give.

    Of one column at a time, so that they fit.
    """
    found: dict[str, tuple[list[str], list[str]]] = {}
    metrics, figures = list(evaluation.metric_names[1:]), list(evaluation.summaries)
    for column in (evaluation.new, RETRIEVED):
        own = [m for m in metrics if _has(evaluation, None, m, column)]
        over_all = [f for f in figures if column in evaluation.summaries[f]]
        if own or over_all:
            found[column] = own, over_all
        metrics = [m for m in metrics if m not in own]
        figures = [f for f in figures if f not in over_all]
    return found


def _others(
    evaluation: Evaluation, column: str, metrics: Sequence[str], figures: Sequence[str]
) -> Table:
    made = _new("other metrics [95 %]")
    is_compared = evaluation.rival is not None and column == evaluation.new
    for name in (column, *(["change"] if is_compared else [])):
        made.add_column(name, justify="right", no_wrap=True)
    for metric in metrics:
        cells = _cells(evaluation, metric, None, [column])
        made.add_row(_fitting(metric), _count(evaluation, metric, column), *cells)
    for figure in figures:
        found = evaluation.summaries[figure]
        change = found.get(f"{column} - {evaluation.rival}") if is_compared else None
        shown = [amount(change, True)] if change else []
        made.add_row(_fitting(figure), "", amount(found[column]), *shown)
    return made


def _new(first: str) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    made = Table(box=SIMPLE_HEAD, padding=(0, 0), pad_edge=False)
    made.add_column(first, no_wrap=True)
    made.add_column("rows", justify="right")
    return made


def caption(evaluation: Evaluation) -> str:
    """What the table compares, what it leaves out, and what went wrong."""
    lines = []
    if evaluation.rival:
        lines.append(f"change: {evaluation.new} minus {evaluation.rival}, in points, paired.")
    if PROMPTED in evaluation.columns:
        lines.append("prompted: the base with its best prompt.")
    if RETRIEVED in evaluation.columns:
        lines.append("retrieved: asked with the passages that an index found.")
    if (worst := evaluation.worst_slice(evaluation.metric_names[0])) is not None:
        lines.append(f"* gained least of the slices with {FEW} rows: {label(worst.slice)}.")
    lines += _without_gain(evaluation)
    if evaluation.general and evaluation.rival:
        lines.append(
            f"general ability ({evaluation.new} minus {evaluation.base}): "
            f"{evaluation.general_verdict()}, margin {MARGIN * 100:.0f} points."
        )
        lines += broken(evaluation.general)
    return "\n".join([*lines, *remarks(evaluation)])


def _without_gain(evaluation: Evaluation) -> list[str]:
    """A line that names the slices, of enough rows to say so, whose change may be none or worse."""
    first = evaluation.metric_names[0]
    sign = -1 if first in evaluation.lower_is_better else 1
    without = [
        label(one.slice)
        for one in evaluation.changes
        if one.metric == first
        and one.slice != "all"
        and one.num_items >= FEW
        and min(sign * one.interval.low, sign * one.interval.high) <= 0
    ]
    told = "no gain is shown (the change's interval reaches none) for"
    return [f"{told}: {', '.join(without)}."] if without else []


def _cells(
    evaluation: Evaluation, metric: str, slice: str | None, columns: Sequence[str]
) -> list[str]:
    show = points if metric in evaluation.rates else amount
    cells = [
        show(evaluation.rate(column, slice, metric))
        if _has(evaluation, slice, metric, column)
        else ""
        for column in columns
    ]
    wanted = (metric, slice or "all")
    changes = [c for c in evaluation.changes if (c.metric, c.slice) == wanted]
    return [*cells, *(show(change.interval, True) for change in changes)]


def _fitting(name: str) -> str:
    """A metric's name, short enough that its figures are not cut off."""
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}\u2026"


def _has(evaluation: Evaluation, slice: str | None, metric: str, column: str) -> bool:
    return any(metric in item.scores.get(column, {}) for item in evaluation.of(slice))


def _count(evaluation: Evaluation, metric: str, column: str) -> str:
    return str(sum(metric in item.scores.get(column, {}) for item in evaluation.items))


def _general(evaluation: Evaluation) -> list[str]:
    asked = (evaluation.base, evaluation.new)
    cells = [points(evaluation.general_rate(c)) if c in asked else "" for c in evaluation.columns]
    return [*cells, *([points(evaluation.general_change(), True)] * bool(evaluation.rival))]
