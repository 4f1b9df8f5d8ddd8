"""Rules about how an episode ends."""

from __future__ import annotations

from customize._errors import OutOfRoom
from customize.interfaces.environment import Reply
from customize.rollouts.stages import stage_for
from customize.rollouts.yielded import verdict_of
from customize.testing.environment_rules.subject import EnvironmentSubject, Played, usual_replies
from customize.testing.expecting import expect
from customize.testing.rules import NotApplicable, RuleBroken

_SEEDS = range(4)


def check_rewards_are_numbers(subject: EnvironmentSubject) -> None:
    """The reward is a finite number, or finite numbers by part."""
    for played in _ended(subject):
        try:
            verdict_of(played.end.value)
        except (TypeError, ValueError) as error:
            raise RuleBroken(str(error)) from error


def check_parts_are_the_same(subject: EnvironmentSubject) -> None:
    """Every episode has the same parts: a mean over those that have one would mislead."""
    found = set()
    for played in _ended(subject):
        value = played.end.value
        parts = getattr(value, "parts", value)
        found.add(frozenset(parts) if hasattr(parts, "keys") else frozenset())
    expect(len(found) == 1, f"parts are {' or '.join(str(sorted(p)) for p in found)}")


def check_no_more_room_ends_it(subject: EnvironmentSubject) -> None:
    """When there is no more room it returns a reward or lets `OutOfRoom` pass: it neither goes on
    nor fails.
    """
    for row in subject.rows:
        end = subject.play(row, 0, []).end
        expect(end.over, f"yields another turn: {str(end.value)[:80]!r}")
        kind = getattr(end.error, "kind", type(end.error).__name__)
        passed = end.error is None or isinstance(end.error, OutOfRoom) or kind == "OutOfRoom"
        expect(passed, f"raises {kind} ({end.error})")


def check_it_can_be_closed(subject: EnvironmentSubject) -> None:
    """Closed in the middle it cleans up and is gone: it does not catch that and go on.

    Then the next episode is like any other.
    """
    replies = usual_replies(2)
    before = subject.play(subject.rows[0], 2, replies)
    with stage_for(subject.environment) as stage:
        number = stage.begin(dict(subject.rows[0]), 2)
        [said] = stage.send([(number, None)])
        if said.over:
            raise NotApplicable("ends before anything is said")
        fault = stage.close(number)
        expect(fault is None, f"is closed, and {fault}")
    after = subject.play(subject.rows[0], 2, replies)
    expect(_told(before) == _told(after), f"{_told(before)} before, {_told(after)} after")


def _ended(subject: EnvironmentSubject) -> list[Played]:
    """Episodes that came to a reward."""
    found = []
    for row in subject.rows:
        for seed in _SEEDS:
            for replies in (usual_replies(seed), [Reply("42", num_tokens=1)] * 20):
                played = subject.play(row, seed, replies)
                if played.end.error is None and played.end.over:
                    found.append(played)
    if not found:
        raise NotApplicable("no episode came to a reward in 20 turns")
    return found


def _told(played: Played) -> str:
    return f"{len(played.turns)} turns and {played.end.value!r}"
