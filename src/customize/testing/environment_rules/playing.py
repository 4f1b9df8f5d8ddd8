"""Rules about playing: what is yielded, and that only the row, the seed and the replies count."""

from __future__ import annotations

import copy
from collections.abc import Iterator

from customize.rollouts.yielded import messages_of, turn_of
from customize.testing.environment_rules.subject import (
    ODD,
    EnvironmentSubject,
    Played,
    usual_replies,
)
from customize.testing.expecting import expect
from customize.testing.rules import RuleBroken

_SEEDS = range(4)


def check_turns_are_what_a_model_sees(subject: EnvironmentSubject) -> None:
    """It yields text, messages with role and content, or a `Turn`; and at least once."""
    for played in _usual(subject):
        if played.end.error is None:
            expect(bool(played.turns), "is over before the model has said anything")
        for value in played.turns:
            try:
                messages_of(turn_of(value), set(), 10**6)
            except TypeError as error:
                raise RuleBroken(str(error)) from error


def check_environment_repeats(subject: EnvironmentSubject) -> None:
    """The same row, seed and replies give the same turns and the same reward: what is random
    comes from ``rng``, and nothing is left of other episodes.
    """
    first = [_told(played) for played in _usual(subject)]
    again = [_told(played) for played in _usual(subject)]
    for before, after in zip(first, again, strict=True):
        expect(before == after, f"{before} the first time, {after} the second")


def check_the_row_is_left_alone(subject: EnvironmentSubject) -> None:
    """The row is as it was afterwards: the other episodes of its group are given the same."""
    for row in subject.rows:
        before = copy.deepcopy(row)
        found = subject.play(row, 0, usual_replies(0)).row
        expect(found == before, f"the row is {found}, and was {before}")


def check_no_reply_is_too_odd(subject: EnvironmentSubject) -> None:
    """Whatever the model says, nothing is raised: an episode that fails teaches nothing.

    A reply may be empty, cut, in another script, a number too large, or a call that is wrong.
    """
    for row in subject.rows:
        for what, reply in ODD.items():
            _expect_no_error(subject.play(row, 1, [reply, *usual_replies(1)]), what)


def _usual(subject: EnvironmentSubject) -> Iterator[Played]:
    for row in subject.rows:
        for seed in _SEEDS:
            yield subject.play(row, seed, usual_replies(seed))


def _told(played: Played) -> str:
    return f"turns {played.turns!r}, then {played.end.value!r}"


def _expect_no_error(played: Played, what: str) -> None:
    error = played.end.error
    if error is not None and played.room:
        raise RuleBroken(f"{what} raises {type(error).__name__} ({error})") from error
