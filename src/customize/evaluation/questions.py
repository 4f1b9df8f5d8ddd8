"""Questions: rows as they are asked, and what is wrong with rows that cannot be."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs

from customize._errors import DataError
from customize.evaluation.expectations import Expectation, parse_expect
from customize.interfaces.dataset import Row
from customize.interfaces.renderer import Document, Message, Tool


@attrs.frozen
class Question:
    """A row without its answer. expectation: None where only scorers for all rows judge it."""

    id: str
    row: Row
    messages: Sequence[Message]
    expectation: Expectation | None = None

    @property
    def tools(self) -> Sequence[Tool] | None:
        return self.row.get("tools") or None

    @property
    def documents(self) -> Sequence[Document] | None:
        return self.row.get("documents") or None

    @property
    def text(self) -> str:
        """What was asked last."""
        return str(self.messages[-1].get("content") or "")

    def reply(self, text: str) -> Message:
        """An answer as a message; the row's own has its calls of tools with it."""
        own = self.row["messages"][-1]
        is_own = own.get("role") == "assistant" and (own.get("content") or "") == text
        called = {"tool_calls": own["tool_calls"]} if is_own and own.get("tool_calls") else {}
        return {"role": "assistant", "content": text, **called}

    @property
    def hash(self) -> str:
        """sha256 of all that is asked: messages, tools, documents."""
        asked = [list(self.messages), self.tools, self.documents]
        return hashlib.sha256(json.dumps(asked, sort_keys=True, default=list).encode()).hexdigest()


def questions_of(rows: Iterable[Row], need_expect: bool) -> list[Question]:
    """Every row as a question; an assistant's last message is its answer and is not asked.

    Raises:
        DataError: there are no rows, one has no question or no (good) ``expect``, or two share
            an id. All rows without ``expect`` are counted.
    """
    rows = list(rows)
    if need_expect:
        _check_expectations(rows)
    questions = [_question(row, number, need_expect) for number, row in enumerate(rows, 1)]
    if not questions:
        raise DataError("there are no rows to evaluate on")
    first: dict[str, int] = {}
    for number, question in enumerate(questions, 1):
        before = first.setdefault(question.id, number)
        if before != number:
            raise DataError(
                f"rows {before} and {number} share the id {question.id!r}: each needs its own"
            )
    return questions


def shared(some: Iterable[Question], others: Iterable[Question]) -> list[str]:
    """Ids of those in ``some`` that ask what one of ``others`` asks, word for word."""
    hashes = {question.hash for question in others}
    return [question.id for question in some if question.hash in hashes]


def _check_expectations(rows: Sequence[Row]) -> None:
    without = [f"row {number}" for number, row in enumerate(rows, 1) if not row.get("expect")]
    if without:
        named = ", ".join([*without[:5], *(["\u2026"] if len(without) > 5 else [])])
        raise DataError(
            f"{len(without)} of {len(rows)} rows without expect ({named}): say what a right "
            "answer is, such as includes, or give scorers for all rows"
        )


def _question(row: Row, number: int, need_expect: bool) -> Question:
    where = f"row {number}"
    messages = row.get("messages")
    if not isinstance(messages, Sequence) or not messages:
        raise DataError(f"{where} has no messages")
    asked = messages[:-1] if messages[-1].get("role") == "assistant" else messages
    if not asked:
        raise DataError(f"{where} holds an answer and no question")
    expected = row.get("expect")
    expectation = parse_expect(expected, where) if need_expect or expected is not None else None
    return Question(str(row.get("id", where)), row, asked, expectation)


def field_of(row: Mapping[str, Any], name: str) -> str:
    """A field as text; what a row without it is called."""
    value = row.get(name)
    return "none" if value is None else value if isinstance(value, str) else json.dumps(value)
