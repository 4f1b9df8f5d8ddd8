"""Prompts of a trait as rows, and two parts of them that share no question. Knows no trait."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from customize._errors import DataError
from customize.data.dataset import IndexedDataset
from customize.data.reading import SKIPPING, read
from customize.evaluation.questions import questions_of, shared
from customize.interfaces.dataset import Row

_FEWEST = 4
_LISTED = 10


def rows_of(given: str | Sequence[str | Mapping[str, Any]], what: str) -> list[Row]:
    """Rows with ``messages`` that end before an answer; a good answer is under ``answer``.

    Raises:
        DataError: they cannot be used; with ``what``.
    """
    rows = given if isinstance(given, str) else [_row(each) for each in given]
    try:
        return list(read(rows, kind="prompt"))
    except DataError as error:
        raise DataError(f"{what}: {error}") from error


def asked_once(
    rows: Sequence[Row], beside: Callable[[Row], object] = lambda row: None
) -> list[Row]:
    """Without those that ask what one before them asks, which gets the same answer.

    Rows that differ in what ``beside`` says of them stay.
    """
    if not rows:
        return []
    bare = [{key: row[key] for key in row if key not in ("id", "expect")} for row in rows]
    first: dict[tuple[str, str], Row] = {}
    for question, row in zip(questions_of(bare, need_expect=False), rows, strict=True):
        first.setdefault((question.hash, repr(beside(row))), row)
    return [*first.values()]


def columns_of(row: Row) -> list[tuple[str, str]]:
    """What a row says beside its name, what it asks and its good answer; scorers see that too."""
    asked = {"id", "messages", "tools", "documents", "expect", "answer"}
    return sorted((key, repr(value)) for key, value in row.items() if key not in asked)


def two_halves(rows: Sequence[Row], where: str) -> tuple[list[Row], list[Row]]:
    """By the hash of what is asked: the same halves in any order of the rows.

    Raises:
        DataError: there are too few.
    """
    hashes = [question.hash for question in questions_of(_unnamed(rows), need_expect=False)]
    order = sorted(set(hashes))
    if len(order) < _FEWEST:
        raise DataError(
            f"{where} has {len(order)} prompts: give at least {_FEWEST}, half of which are held "
            "out, or held_out of its own"
        )
    first = set(order[: len(order) // 2])
    return (
        [row for row, key in zip(rows, hashes, strict=True) if key in first],
        [row for row, key in zip(rows, hashes, strict=True) if key not in first],
    )


def check_apart(asked: Sequence[Row], held_out: Sequence[Row], where: str) -> None:
    """Refuse a question that is learnt from and measured on.

    Raises:
        DataError: there are some; the first is told.
    """
    ours, others = (questions_of(_unnamed(rows), False) for rows in (asked, held_out))
    if both := shared(ours, others):
        told = next(question.text for question in ours if question.id == both[0])
        raise DataError(
            f"{len(both)} prompts of {where} are held out too ({told[:60]!r}): what is learnt from "
            "cannot be measured on; take them out of one"
        )


def read_pairs(pairs: Path) -> IndexedDataset:
    """The pairs as they were edited.

    Raises:
        DataError: some cannot be learnt from; they are listed by line.
    """
    try:
        return read(pairs, kind="preference")
    except DataError as error:
        fix = "Correct these lines, or take them out of the file"
        raise DataError(str(error).replace(SKIPPING, fix)) from error


def check_unmeasured(pairs: Path, rows: Sequence[Row]) -> None:
    """Refuse pairs that ask what is measured, as an added one may.

    Raises:
        DataError: there are some; the first ten are listed by line.
    """
    learnt = read_pairs(pairs)
    asked = [{**row, "id": str(learnt.line(number))} for number, row in enumerate(learnt)]
    lines = shared(questions_of(asked, False), questions_of(_unnamed(rows), False))
    if lines:
        more = ", …" if len(lines) > _LISTED else ""
        raise DataError(
            f"{pairs}: {len(lines)} pairs ask what is measured (line "
            f"{', '.join(lines[:_LISTED])}{more}): take them out, or take their prompts out of "
            "held_out, checks or texts"
        )


def _row(given: str | Mapping[str, Any]) -> Mapping[str, Any]:
    return {"messages": [{"role": "user", "content": given}]} if isinstance(given, str) else given


def _unnamed(rows: Sequence[Row]) -> list[Row]:
    """Without ids, which rows of several files may share."""
    return [{key: value for key, value in row.items() if key != "id"} for row in rows]
