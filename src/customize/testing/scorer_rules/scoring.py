"""Rules about what a scorer makes of an answer."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from contextlib import suppress

from customize._errors import DataError
from customize.interfaces.dataset import Row
from customize.testing.expecting import expect
from customize.testing.rules import NotApplicable, RuleBroken
from customize.testing.scorer_rules.questions import answers_to
from customize.testing.scorer_rules.subject import ScorerSubject, Trial, parts_of


def check_every_answer_is_scored(subject: ScorerSubject) -> None:
    """No answer is too odd to be scored: nothing is raised.

    It may be empty, in another script, cut short, without a log-probability, or a tool call.
    """
    for trial in subject.trials:
        try:
            subject.score(trial)
        except Exception as error:  # whatever the subject raises
            raise RuleBroken(f"{trial.what} raises {_told(error)}") from error


def check_scores_are_numbers(subject: ScorerSubject) -> None:
    """A score is a finite number, True or False, or such by part; None where none is asked for.

    Some answer has one.
    """
    for trial, score in subject.scores:
        for part, value in parts_of(score).items():
            expect(isinstance(part, str), f"{trial.what}: the part {part!r} is no text")
            fits = isinstance(value, (int, float)) and math.isfinite(value)
            expect(fits, f"{trial.what}: gives {value!r}, which is no finite number")
    scored = any(parts_of(score) for _, score in subject.scores)
    expect(scored, "no answer has a score: give rows that ask for one, on=[…]")


def check_scores_repeat(subject: ScorerSubject) -> None:
    """The same answer to the same row has the same score, whatever was scored before."""
    first = [_outcome(subject, trial) for trial in subject.trials]
    again = [_outcome(subject, trial) for trial in reversed(subject.trials)]
    for trial, before, after in zip(subject.trials, first, reversed(again), strict=True):
        expect(before == after, f"{trial.what}: {before} the first time, {after} the second")


def check_what_is_scored_is_left_alone(subject: ScorerSubject) -> None:
    """It changes neither the answer nor the row: other scorers are given the same."""
    for trial in subject.trials:
        answer, row = copy.deepcopy(trial.answer), copy.deepcopy(trial.row)
        with suppress(Exception):  # another rule tells
            subject.scorer.likelihoods(row)
            subject.scorer.score(answer, row)
        expect(row == trial.row, f"{trial.what}: the row is {row}, and was {trial.row}")
        expect(answer == trial.answer, f"{trial.what}: is {answer}, and was {trial.answer}")


def check_missing_fields_are_told(subject: ScorerSubject) -> None:
    """A row without one of its fields has a score or none, or a DataError that names the field."""
    for row in subject.rows:
        for field, poorer in _without_one(row):
            trial = subject.trial("", answers_to(row)["a usual answer"], poorer)
            what = f"a row without {field or 'an answer of its own'} raises"
            try:
                subject.scorer.likelihoods(copy.deepcopy(poorer))
                subject.score(trial)
            except DataError as error:
                expect(field in str(error), f"{what} what does not name it: {error}")
            except Exception as error:  # whatever the subject raises
                raise RuleBroken(f"{what} {_told(error)}, and no DataError") from error


def check_likelihoods_are_texts(subject: ScorerSubject) -> None:
    """It asks for the log-probabilities of a list of texts: one text alone is no list."""
    for row in subject.rows:
        asked = subject.scorer.likelihoods(copy.deepcopy(row))
        fits = not isinstance(asked, str) and all(isinstance(text, str) for text in asked)
        expect(fits, f"asks for {asked!r}: give a list of texts")


def check_unread_answers_do_not_count(subject: ScorerSubject) -> None:
    """With ``reads_answer`` False every answer to a row has the same score: none is made then.

    But what ``expect`` found, and how sure it was of that, may tell answers apart: where it reads
    them itself, they are made for it.
    """
    if subject.scorer.reads_answer:
        raise NotApplicable("reads answers")
    alike: dict[tuple[int, object, object], list[Trial]] = {}
    for trial in subject.trials:
        known = id(trial.row), trial.answer.right, trial.answer.confidence
        alike.setdefault(known, []).append(trial)
    for trials in alike.values():
        found = {_outcome(subject, trial): trial.what for trial in trials}
        expect(len(found) == 1, "; ".join(f"{what} gives {got}" for got, what in found.items()))


def _without_one(row: Row) -> Iterator[tuple[str, Row]]:
    for field in (name for name in row if name != "messages"):
        yield field, {key: value for key, value in row.items() if key != field}
    *asked, last = row["messages"]
    if asked and last["role"] == "assistant":
        yield "", {**row, "messages": asked}


def _outcome(subject: ScorerSubject, trial: Trial) -> str:
    try:
        return str(dict(parts_of(subject.score(trial))))
    except Exception as error:  # whatever the subject raises
        return type(error).__name__


def _told(error: Exception) -> str:
    return f"{type(error).__name__} ({error})"
