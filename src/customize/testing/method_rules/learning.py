"""Rules about learning: a method in name only is caught here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from customize._batch import Batch
from customize._options import options_of
from customize.interfaces.dataset import Row
from customize.interfaces.session import Snapshot
from customize.testing.expecting import expect, expect_equal
from customize.testing.method_rules.subject import GivenRows, MethodSubject
from customize.testing.options import changed
from customize.testing.rules import NotApplicable

# At this rate a few steps of AdamW on a table of logits are plainly seen.
_RATE = 0.1
_NATS = 0.05
_EPOCHS = 4


def check_it_learns(subject: MethodSubject) -> None:
    """It learns what its kind of rows is for.

    From ``chat`` answers become likelier; from ``preference`` the chosen answer gains on the
    rejected one. Held at a learning rate of 0.1 where there is an option ``lr``.
    """
    session, data = subject.open(), subject.data()
    before = _measure(session, data)
    for _ in range(_EPOCHS):
        subject.train(session, data, _fast(subject))
    gained = _measure(session, data) - before
    expect(gained >= _NATS, f"{gained:+.3f} nats a row, where at least {_NATS:+} are due")


def _fast(subject: MethodSubject) -> Any:  # a Method
    has_rate = any(option.name == "lr" for option in options_of(type(subject.method)))
    return changed(subject.method, lr=_RATE) if has_rate else subject.method


def _measure(snapshot: Snapshot, data: GivenRows) -> float:
    """The mean over rows of what should grow, in nats a token.

    Raises:
        NotApplicable: the kit does not know what this kind of rows is for.
    """
    if data.kind not in ("chat", "preference"):
        raise NotApplicable(f"the kit cannot measure what is learnt from {data.kind!r} rows")
    return float(np.mean([_of_row(snapshot, row) for row in data.rows]))


def _of_row(snapshot: Snapshot, row: Row) -> float:
    if "chosen" not in row:
        return _answer(snapshot, row["messages"])
    chosen, rejected = ([*row["messages"], *row[side]] for side in ("chosen", "rejected"))
    return _answer(snapshot, chosen) - _answer(snapshot, rejected)


def _answer(snapshot: Snapshot, messages: list[Mapping[str, Any]]) -> float:
    rendered = snapshot.renderer.render(messages)
    batch = Batch.from_sequences([(rendered.tokens, {"weights": rendered.weights})])
    return float(snapshot.forward(batch).result().sum() / rendered.weights.sum())


def check_every_part_of_a_row_matters(subject: MethodSubject) -> None:
    """Other data is learnt otherwise, whichever part of a row is another: the answer, of a pair
    the chosen and the rejected one, or a document's text.
    """
    learnt = subject.open()
    subject.train(learnt, subject.data())
    answers = subject.answers(learnt)
    parts = ("chosen", "rejected", "text")
    for part in [part for part in parts if part in subject.data()[0]] or ["messages"]:
        data = subject.data()
        for row in data.rows:
            _change(row, part)
        other = subject.open()
        subject.train(other, data)
        same = np.array_equal(subject.answers(other), answers)
        expect(not same, f"learns the same when what {part!r} ends with is another")


def _change(row: dict[str, Any], part: str) -> None:
    if part == "text":
        row["text"] = f"{row['text']} The lift was built in 1987."
    else:
        row[part][-1]["content"] = "Something else, then!"


def check_lr_zero_changes_nothing(subject: MethodSubject) -> None:
    """At ``lr`` 0 it runs to its end and the model answers as before, to the last bit."""
    method, session = subject.with_rate(0.0), subject.open()
    before = subject.answers(session)
    subject.train(session, subject.data(), method)
    expect_equal(subject.answers(session), before, "log-probabilities after training at lr 0")
