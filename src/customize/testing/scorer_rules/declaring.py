"""Rules about what a scorer says of itself, and its figures over all rows.

Shape legend: N answers, R resamples.
"""

from __future__ import annotations

import pickle

import numpy as np

from customize.evaluation.scorers import FunctionScorer
from customize.testing.expecting import expect
from customize.testing.options import check_declared
from customize.testing.rules import NotApplicable
from customize.testing.scorer_rules.subject import ScorerSubject, parts_of


def check_scorer_options_are_declared(subject: ScorerSubject) -> None:
    """It is a frozen ``options`` class: every field is an option with help, and with bounds where
    it is a number; a value outside them is refused.
    """
    if isinstance(subject.scorer, FunctionScorer):
        raise NotApplicable("a function has no options")
    check_declared(subject.scorer)


def check_scorer_pickles(subject: ScorerSubject) -> None:
    """It can be sent to another process: what comes out of pickle equals what went in."""
    found = pickle.loads(pickle.dumps(subject.scorer))
    expect(found == subject.scorer, f"came back as {found}")


def check_lower_is_better_names_scores(subject: ScorerSubject) -> None:
    """``lower_is_better`` names parts that it gives, or figures of its ``summary``.

    Else more would be taken for better.
    """
    given = {part for _, score in subject.scores for part in parts_of(score)}
    named = subject.scorer.lower_is_better
    if named - given and subject.columns:
        ones_RN = np.ones((1, _num_answers(subject)))
        given |= subject.scorer.summary(subject.columns, ones_RN).keys()
    expect(named <= given, f"{sorted(named - given)} are none of {sorted(given)}")


def check_summaries_count_by_weight(subject: ScorerSubject) -> None:
    """A figure of ``summary`` is [R], and a row that weighs 0 is as if it were not there."""
    columns = subject.columns
    weights_RN = np.ones((2, _num_answers(subject)))
    weights_RN[1, 1::2] = 0
    figures = subject.scorer.summary(columns, weights_RN) if columns else {}
    if not figures:
        raise NotApplicable("gives no summary")
    kept = {part: values_N[::2] for part, values_N in columns.items()}
    ones_RN = weights_RN[1:, ::2]
    for name, found_R in figures.items():
        expect(np.shape(found_R) == (2,), f"{name} has shape {np.shape(found_R)}, not (2,)")
        wanted = subject.scorer.summary(kept, ones_RN)[name][0]
        same = np.isclose(found_R[1], wanted, equal_nan=True)
        expect(bool(same), f"{name} is {found_R[1]} with weights of 0, {wanted} without the rows")


def _num_answers(subject: ScorerSubject) -> int:
    return len(next(iter(subject.columns.values()), ()))
