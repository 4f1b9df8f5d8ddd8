"""Held-out rows as an evaluation asks them, where nobody says how. Asks no model anything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from customize._errors import DataError
from customize.data.dataset import IndexedDataset
from customize.evaluation.scorers.likelihood import Choice, Perplexity
from customize.evaluation.scorers.texts import reference
from customize.interfaces.dataset import Dataset, Row
from customize.interfaces.environment import Environment
from customize.interfaces.method import Method
from customize.rollouts.judged import find_environment, judged
from customize.runs.evaluating import Asked

_LIKELIHOOD = (
    "Rows without expect are compared by how likely their own answers are, and nothing is "
    "generated for them: with expect they would say whether what is answered is right."
)
_AS_PLAYED = (
    "max_tokens",
    "max_turns",
    "solved",
    "max_length",
    "observation_tokens",
    "rewrites",
)


def of_held_out(asked: Asked, held_out: IndexedDataset, method: Method, max_rows: int) -> Asked:
    """The same with the rows, and with what these are scored by unless it is said already.

    Rows with ``expect`` say what is right; others are scored by the likelihood of their answer, of
    a preference's chosen one beside the rejected one; prompts by what the method learns from.

    Raises:
        DataError: the rows have nothing to compare by; the message says why.
        OptionError, UnknownName: the method's environment cannot be used.
    """
    asked = _with_rows(asked, method.examples(held_out), max_rows)
    if asked.scorers or asked.judge is not None or asked.environment is not None:
        return asked
    if held_out.kind == "prompt":
        return _played(asked, method)
    return _likely(asked, held_out.kind == "preference")


def _with_rows(asked: Asked, held_out: Dataset | Sequence[Row], max_rows: int) -> Asked:
    rows = spread(held_out, max_rows)
    if any("messages" not in row for row in rows):
        raise DataError(
            "the held-out rows are documents, which ask nothing: give rows with messages and "
            "expect as data of evaluate"
        )
    cut = f"{len(rows):,} of {len(held_out):,} held-out rows, evenly spread (max_rows of evaluate)."
    return attrs.evolve(asked, rows=rows, notes=[cut] if len(rows) < len(held_out) else [])


def spread(rows: Dataset | Sequence[Row], max_rows: int) -> list[Row]:
    """So many at most, evenly spread."""
    num = min(len(rows), max_rows)
    return [rows[n * len(rows) // num] for n in range(num)]


def _played(asked: Asked, method: Method) -> Asked:
    assert isinstance(asked.rows, list)
    if all(row.get("expect") for row in asked.rows):
        return asked
    environment = _environment_of(method)
    if environment is None:
        raise DataError(
            "the held-out rows are prompts, and the method names no reward to judge answers by: "
            "give them expect"
        )
    # As the method plays them; the class of a method says nothing of these options.
    told: dict[str, Any] = {n: getattr(method, n) for n in _AS_PLAYED if hasattr(method, n)}
    return attrs.evolve(asked, environment=environment, **told)


def _environment_of(method: Method) -> Environment | None:
    """As it says itself, or by its options: ``environment``; ``reward``, ``tools``, ``seconds``."""
    if (played := method.played()) is not None:
        return played
    if (named := getattr(method, "environment", None)) is not None:
        return find_environment(named)
    if (reward := getattr(method, "reward", None)) is not None:
        return judged(reward, getattr(method, "tools", ()), getattr(method, "seconds", None))
    return None


def _likely(asked: Asked, are_pairs: bool) -> Asked:
    assert isinstance(asked.rows, list)
    rows = [_as_choice(row) for row in asked.rows] if are_pairs else asked.rows
    kept = [row for row in rows if row.get("expect") or _is_answered(row)]
    if not kept:
        raise DataError("no held-out row has expect, or an answer to weigh")
    left_out = f"{len(rows) - len(kept)} held-out rows have neither expect nor an answer to weigh."
    notes = [*asked.notes, *([left_out] if len(kept) < len(rows) else [])]
    if all(row.get("expect") for row in kept):
        return attrs.evolve(asked, rows=kept, notes=notes)
    scorers = [*([Choice()] if are_pairs else []), Perplexity()]
    return attrs.evolve(asked, rows=kept, scorers=scorers, notes=[*notes, _LIKELIHOOD])


def _is_answered(row: Row) -> bool:
    own = reference(row)
    said = own is not None and (own.get("content") or own.get("tool_calls"))
    return len(row["messages"]) > 1 and bool(said)


def _as_choice(row: Row) -> Row:
    """A pair as a choice between two texts; without an answer where it is none between texts."""
    rest = {key: value for key, value in row.items() if key not in ("chosen", "rejected")}
    chosen, rejected = row["chosen"], row["rejected"]
    texts = [each[0]["content"] for each in (chosen, rejected) if len(each) == 1]
    called = any(message.get("tool_calls") for message in (*chosen, *rejected))
    if len(texts) < 2 or not all(texts) or called or texts[0] == texts[1]:
        return rest
    messages = [*row["messages"], chosen[0]]
    return {**rest, "messages": messages, "choices": texts, "answer": texts[0]}
