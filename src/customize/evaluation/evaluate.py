"""The comparison: the same rows answered by all columns, paired. Knows no method."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from customize._errors import DataError
from customize.evaluation.answering import answers
from customize.evaluation.checks import Expect, check, parse_expect
from customize.evaluation.statistics import Interval, paired_difference, wilson
from customize.interfaces.backend import Snapshot
from customize.interfaces.dataset import Row

if TYPE_CHECKING:
    from rich.table import Table

SCHEMA = 1
_HEADS = {"base": "base", "prompted": "prompted", "customized": "customized"}


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
    """All items and the columns that answered them, in order."""

    columns: tuple[str, ...]
    items: tuple[Item, ...]

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
        }

    def table(self) -> Table:
        """Rates by trait, and the customized model's change against its strongest rival."""
        from rich.box import SIMPLE_HEAD
        from rich.table import Table

        rival = "prompted" if "prompted" in self.columns else "base"
        table = Table(box=SIMPLE_HEAD, padding=(0, 0), pad_edge=False)
        table.caption, table.caption_justify = self._caption(rival), "left"
        table.add_column("trait", no_wrap=True)
        table.add_column("rows", justify="right")
        for column in self.columns:
            table.add_column(_HEADS.get(column, column), justify="right", no_wrap=True)
        compared = "customized" in self.columns
        if compared:
            table.add_column("change [95 %]", justify="right", no_wrap=True)
        for trait in (*self.traits, None):
            cells = [f"{self.rate(column, trait).estimate:.0%}" for column in self.columns]
            if compared:
                cells.append(_points(self.change("customized", rival, trait)))
            table.add_row(trait or "all", str(len(self._of(trait))), *cells)
        return table

    def _caption(self, rival: str) -> str:
        paired = f"change: customized against {rival}, paired, with its 95 % interval."
        if rival == "prompted":
            return f"Right answers. prompted: the base with its best prompt.\n{paired}"
        return f"Right answers; no prompt was given to compare with.\n{paired}"

    def _of(self, trait: str | None) -> list[Item]:
        return [item for item in self.items if trait is None or item.trait == trait]


def evaluate(
    columns: Mapping[str, tuple[Snapshot, str | None]],
    rows: Iterable[Row],
    max_tokens: int = 64,
) -> Evaluation:
    """Every column answers every row; a column is a snapshot and an instruction or None.

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
    return Evaluation(tuple(columns), tuple(items))


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


def _points(change: Interval) -> str:
    return f"{change.estimate:+.0%} [{change.low:+.0%}, {change.high:+.0%}]"
