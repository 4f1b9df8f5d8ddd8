"""Rows that are there already, made by ``customize-rag rows`` and perhaps edited. Makes none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from customize import Chunk, DataError, Hit, OptionError, Row, read
from customize_rag.contexts import EMPTY, KINDS, NEAR_MISS, OFF_TOPIC
from customize_rag.plan import RowPlan

# Options that say which rows are made, and how.
_MAKING = (
    *("per_context", "max_rows", "near_miss", "off_topic", "empty", "partial"),
    *("counterfactual", "disputed", "orders", "quote_words"),
)


def check_alone(plan: RowPlan, file: str) -> None:
    """
    Raises:
        OptionError: there is no such file, or the plan says how to make rows besides.
    """
    if not Path(file).is_file():
        raise OptionError(f"rows must name a file, and there is no {file}")
    making = _MAKING if plan.adapt_queries else ("questions", *_MAKING)
    plain = RowPlan()
    ignored = [name for name in making if getattr(plan, name) != getattr(plain, name)]
    if ignored:
        raise OptionError(
            f"rows are learnt as they are in {file}: leave out {', '.join(ignored)}, which would "
            "make others, or leave out rows"
        )


def given_rows(plan: RowPlan, file: str) -> Sequence[Mapping[str, Any]]:
    """The rows of a file, which are shown as answers will be.

    Raises:
        DataError: they are not, or are no conversations.
    """
    data = read(file, kind="chat")
    rows = [data[number] for number in range(len(data))]
    for number, row in enumerate(rows, start=1):
        if row.get("kind") in KINDS and (other := _other(plan, row)) is not None:
            raise DataError(
                f"{file}, row {number} is not as answers will be: give {other}, as where the rows "
                "were made, or make them anew"
            )
    return [{name: value for name, value in row.items() if name != "step"} for row in rows]


def _other(plan: RowPlan, row: Row) -> str | None:
    """The option that the row was made with another value of."""
    first, last = row["messages"][0], row["messages"][-1]["content"]
    sources = row.get("sources") or ()
    if len(sources) > plan.k:
        return f"k={len(sources)}"
    if first["content"] != plan.instruction:
        return f"instruction={str(first['content'])[:200]!r}"
    hits = [Hit(Chunk(source, "", (0, 0)), 0.0) for source in sources]
    said = plan.read(last, hits)
    if row["kind"] in (NEAR_MISS, OFF_TOPIC, EMPTY) and not (said.abstained or said.citations):
        return f"abstention={str(last)[:200]!r}"
    return None
