"""Rules about going on where a run was killed."""

from __future__ import annotations

from customize.testing.expecting import expect, expect_equal
from customize.testing.method_rules.subject import MethodSubject
from customize.testing.rules import NotApplicable
from customize.training.state import read_step, write_step


def check_resume_continues_exactly(subject: MethodSubject) -> None:
    """Killed after any step, it goes on from the saved session and the step's ``state`` with the
    same steps and weights, to the last bit; ``state`` is JSON values and arrays.
    """
    session, folders = subject.open(), []
    steps = []
    for step in subject.method.train(session, subject.data()):
        steps.append(step)
        folders.append(subject.folder())
        session.save(folders[-1])
        write_step(folders[-1], step)
    if len(steps) < 2:
        raise NotApplicable("takes one step on the kit's rows: pass options for more")
    wanted = subject.answers(session)
    for number, folder in enumerate(folders[:-1], start=1):
        told = f"killed after step {number}"
        resumed = subject.open(seed=99)
        resumed.load(folder)
        rest = list(subject.method.train(resumed, subject.data(), read_step(folder)))
        numbers = [step.number for step in rest]
        expect(numbers == [s.number for s in steps[number:]], f"{told}: goes on with {numbers}")
        same = [s.metrics for s in rest] == [s.metrics for s in steps[number:]]
        expect(same, f"{told}: other metrics")
        expect_equal(subject.answers(resumed), wanted, f"{told}: what is learnt")
