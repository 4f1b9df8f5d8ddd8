"""Rules about going on where a run was killed."""

from __future__ import annotations

from customize.interfaces.backend import Session
from customize.interfaces.method import Step
from customize.testing.expecting import expect, expect_equal
from customize.testing.method_rules.subject import MethodSubject
from customize.testing.rules import NotApplicable
from customize.training.state import read_step, write_step


def check_resume_continues_exactly(subject: MethodSubject) -> None:
    """Killed after any step, it goes on from the saved session and the step's ``state`` with the
    same steps and weights, to the last bit; ``state`` is JSON values and arrays.
    """
    whole = subject.open()
    steps = subject.train(whole, subject.data())
    if len(steps) < 2:
        raise NotApplicable("takes one step on the kit's rows: pass options for more")
    wanted = [dict(step.metrics) for step in steps]
    for number in range(1, len(steps)):
        session, rest = _resumed(subject, number)
        told = f"killed after step {number}"
        numbers = [step.number for step in rest]
        expect(numbers == [s.number for s in steps[number:]], f"{told}: goes on with {numbers}")
        found = [dict(step.metrics) for step in rest]
        expect(found == wanted[number:], f"{told}: other metrics")
        expect_equal(subject.answers(session), subject.answers(whole), f"{told}: what is learnt")


def _resumed(subject: MethodSubject, number: int) -> tuple[Session, list[Step]]:
    """A session that was killed after a step, at its end, and its further steps."""
    first, folder = subject.open(), subject.folder()
    training = subject.method.train(first, subject.data())
    last = [next(training) for _ in range(number)][-1]
    first.save(folder)
    write_step(folder, last)
    second = subject.open(seed=99)
    second.load(folder)
    return second, list(subject.method.train(second, subject.data(), read_step(folder)))
