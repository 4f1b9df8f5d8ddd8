"""The comparison: the same rows answered by all columns, paired. Knows no method."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from customize._errors import DataError
from customize.evaluation.answering import answers
from customize.evaluation.checks import Expect, check, parse_expect
from customize.evaluation.statistics import (
    Interval,
    non_inferior,
    paired_difference,
    wilson,
)
from customize.evaluation.suites import general as general_suite
from customize.interfaces.backend import Snapshot
from customize.interfaces.dataset import Row

if TYPE_CHECKING:
    from rich.table import Table

SCHEMA = 1
MARGIN = 0.10  # of general ability that a customization may cost: ten points
_VERDICTS = {"pass": "kept", "fail": "lost", "inconclusive": "inconclusive"}


@attrs.frozen
class Item:
    """One row: what each column said, and whether it was right."""

    id: str
    trait: str
    question: str
    replies: Mapping[str, str]
    passed: Mapping[str, bool]


@attrs.frozen
class Evaluation:
    """All items and the columns that answered them, in order.

    general: the suite's items, answered by the base and, if there is one, the customized model.
    """

    columns: tuple[str, ...]
    items: tuple[Item, ...]
    general: tuple[Item, ...] = ()

    @property
    def traits(self) -> tuple[str, ...]:
        """In the order they first appear."""
        return tuple(dict.fromkeys(item.trait for item in self.items))

    def rate(self, column: str, trait: str | None = None) -> Interval:
        """Share of right answers, with Wilson's interval."""
        chosen = self._of(trait)
        return wilson(sum(item.passed[column] for item in chosen), len(chosen))

    def change(self, new: str, old: str, trait: str | None = None) -> Interval:
        """Rate of ``new`` minus rate of ``old`` on the same items, with Tango's interval."""
        chosen = self._of(trait)
        only_new = sum(item.passed[new] and not item.passed[old] for item in chosen)
        only_old = sum(item.passed[old] and not item.passed[new] for item in chosen)
        return paired_difference(only_new, only_old, len(chosen))

    def general_change(self) -> Interval:
        """Customized minus base on the general suite, with Tango's interval."""
        only_new = sum(i.passed["customized"] and not i.passed["base"] for i in self.general)
        only_old = sum(i.passed["base"] and not i.passed["customized"] for i in self.general)
        return paired_difference(only_new, only_old, len(self.general))

    def general_verdict(self) -> str:
        """Whether general ability is non-inferior to the base's by less than ``MARGIN``."""
        return _VERDICTS[non_inferior(self.general_change(), MARGIN)]

    @property
    def metrics(self) -> dict[str, float]:
        """Rates and changes by name, each with the ends of its interval, as trackers take them."""
        intervals = {column: self.rate(column) for column in self.columns}
        if "customized" in self.columns:
            intervals["change"] = self.change("customized", self.rival)
        if self.general:
            intervals["general_change"] = self.general_change()
        return {
            f"{name}{end}": value
            for name, x in intervals.items()
            for end, value in (("", x.estimate), ("_low", x.low), ("_high", x.high))
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Evaluation:
        """What ``to_json`` gave."""
        items = tuple(Item(**item) for item in value["items"])
        general = tuple(Item(**item) for item in value["general"])
        return cls(tuple(value["columns"]), items, general)

    def to_json(self) -> dict[str, Any]:
        """Everything, as JSON values."""
        return {
            "schema": SCHEMA,
            "columns": list(self.columns),
            "rates": {
                column: {trait: attrs.asdict(self.rate(column, trait)) for trait in self.traits}
                | {"all": attrs.asdict(self.rate(column))}
                for column in self.columns
            },
            "items": [attrs.asdict(item) for item in self.items],
            "general": [attrs.asdict(item) for item in self.general],
        }

    def table(self) -> Table:
        """Rates by trait, and the customized model's change against its strongest rival."""
        from rich.box import SIMPLE_HEAD
        from rich.table import Table

        table = Table(box=SIMPLE_HEAD, padding=(0, 0), pad_edge=False)
        table.caption, table.caption_justify = self._caption(), "left"
        table.add_column("% right [95 %]", no_wrap=True)
        table.add_column("rows", justify="right")
        for column in (*self.columns, *(["change"] if self._compared else [])):
            table.add_column(column, justify="right", no_wrap=True)
        for trait in (*self.traits, None) if len(self.traits) > 1 else (None,):
            cells = [points(self.rate(column, trait)) for column in self.columns]
            if self._compared:
                cells.append(points(self.change("customized", self.rival, trait), signed=True))
            table.add_row(trait or "all", str(len(self._of(trait))), *cells)
        if self.general:
            table.add_row("general ability", str(len(self.general)), *self._general_cells())
        return table

    @property
    def rival(self) -> str:
        """What the customized model is compared with: the prompted base where there is one."""
        return "prompted" if "prompted" in self.columns else "base"

    def general_rate(self, column: str) -> Interval:
        """Share of the general suite's items that a column has right, with Wilson's interval."""
        return wilson(sum(item.passed[column] for item in self.general), len(self.general))

    def _general_cells(self) -> list[str]:
        asked = self.general[0].passed
        cells = [points(self.general_rate(c)) if c in asked else "" for c in self.columns]
        return [*cells, points(self.general_change(), signed=True)] if self._compared else cells

    @property
    def _compared(self) -> bool:
        return "customized" in self.columns

    def _caption(self) -> str:
        compared = f"change: customized minus {self.rival}, in points, paired."
        lines = [compared] if self._compared else []
        if self.rival == "prompted":
            lines.append("prompted: the base with its best prompt.")
        else:
            lines.append("No prompt was given: the base with its best prompt is left out.")
        if self.general and self._compared:
            lines.append(
                f"general ability (customized minus base): {self.general_verdict()}, "
                f"margin {MARGIN * 100:.0f} points."
            )
        return "\n".join(lines)

    def _of(self, trait: str | None) -> list[Item]:
        return [item for item in self.items if trait is None or item.trait == trait]


def evaluate(
    columns: Mapping[str, tuple[Snapshot, str | None]],
    rows: Iterable[Row],
    max_tokens: int = 64,
    general: bool = False,
) -> Evaluation:
    """Every column answers every row; a column is a snapshot and an instruction or None.

    With ``general`` the columns base and customized (where it is there) also answer the general
    suite.

    A row has ``messages`` and ``expect``, and may have ``trait`` and ``id``; an assistant's last
    message is its reference answer and is not shown.

    Raises:
        DataError: there are no rows, or one says nothing of what is right.
    """
    questions = [_question(row, number) for number, row in enumerate(rows, 1)]
    if not questions:
        raise DataError("there are no rows to evaluate on")
    said = {
        name: answers(snapshot, [q.messages for q in questions], instruction, max_tokens)
        for name, (snapshot, instruction) in columns.items()
    }
    items = []
    for number, question in enumerate(questions):
        replies = {name: replies[number] for name, replies in said.items()}
        passed = {name: check(question.expect, reply) for name, reply in replies.items()}
        asked = question.messages[-1].get("content") or ""
        items.append(Item(question.id, question.trait, asked, replies, passed))
    return Evaluation(tuple(columns), tuple(items), _general(columns) if general else ())


def _general(columns: Mapping[str, tuple[Snapshot, str | None]]) -> tuple[Item, ...]:
    asked = [name for name in ("base", "customized") if name in columns]
    said = {name: general_suite.run(columns[name][0]) for name in asked}
    items = []
    for results in zip(*said.values(), strict=True):
        item = results[0].item
        replies = dict(zip(said, [r.reply for r in results], strict=True))
        passed = dict(zip(said, [r.passed for r in results], strict=True))
        items.append(Item(item.id, item.kind, item.question, replies, passed))
    return tuple(items)


def best_instruction(
    snapshot: Snapshot, candidates: Sequence[str], development_rows: Iterable[Row]
) -> str:
    """The candidate with the most right answers on development rows; the first of equals.

    Raises:
        DataError: there is no candidate, or a row cannot be used.
    """
    if not candidates:
        raise DataError("there is no prompt to choose from")
    rows = list(development_rows)
    results = {text: evaluate({"base": (snapshot, text)}, rows) for text in candidates}
    return max(candidates, key=lambda text: results[text].rate("base").estimate)


@attrs.frozen
class _Question:
    id: str
    trait: str
    messages: Sequence[Mapping[str, Any]]
    expect: Expect


def _question(row: Row, number: int) -> _Question:
    where = f"row {number}"
    messages = row.get("messages")
    if not isinstance(messages, Sequence) or not messages:
        raise DataError(f"{where} has no messages")
    asked = messages[:-1] if messages[-1].get("role") == "assistant" else messages
    if not asked:
        raise DataError(f"{where} holds an answer and no question")
    expect = parse_expect(row.get("expect"), where)
    return _Question(str(row.get("id", number)), str(row.get("trait", "all")), asked, expect)


def points(interval: Interval, signed: bool = False) -> str:
    """In per cent: ``36 [28, 45]``."""
    form = "{:+.0f} [{:+.0f}, {:+.0f}]" if signed else "{:.0f} [{:.0f}, {:.0f}]"
    return form.format(*(100 * x for x in attrs.astuple(interval)))
