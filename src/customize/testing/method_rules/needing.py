"""Rules about what a method says it needs."""

from __future__ import annotations

from functools import partial

from customize._errors import Unsupported
from customize.testing.expecting import expect, expect_equal, expect_raises
from customize.testing.method_rules.subject import MethodSubject
from customize.testing.rules import NotApplicable, RuleBroken
from customize.testing.toy import CAPABILITIES

# Every backend has it, so it need not be declared; sessions are opened by the run, not the method.
_ALWAYS = frozenset({"forward", "lora", "full"})


def check_declared_needs_are_used(subject: MethodSubject) -> None:
    """On a backend without something that it declares to need it fails, with Unsupported."""
    for need in sorted(subject.method.needed() - _ALWAYS):
        expect(need in CAPABILITIES, f"needs {need!r}, which is no capability of a backend")
        session = subject.open(without={need})
        act = partial(subject.train, session, subject.data())
        expect_raises(Unsupported, act, f"without {need} it", need)


def check_undeclared_needs_are_none(subject: MethodSubject) -> None:
    """On a backend with nothing but what it declares to need it learns the same, to the last
    bit.
    """
    without = CAPABILITIES - subject.method.needed() - _ALWAYS - {"save"}
    if not without:
        raise NotApplicable("needs everything there is")
    whole, bare = subject.open(), subject.open(without=without)
    subject.train(whole, subject.data())
    try:
        subject.train(bare, subject.data())
    except Unsupported as error:
        raise RuleBroken(f"{error}: add it to needs") from error
    told = f"what is learnt without {', '.join(sorted(without))}"
    expect_equal(subject.answers(bare), subject.answers(whole), told)
