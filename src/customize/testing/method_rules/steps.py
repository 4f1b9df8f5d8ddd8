"""Rules about the steps a method yields."""

from __future__ import annotations

import math

from customize.interfaces.method import SECONDS
from customize.interfaces.session import AdamW
from customize.testing.expecting import expect, expect_equal
from customize.testing.method_rules.subject import MethodSubject
from customize.testing.watched import Watched


def check_steps_are_numbered(subject: MethodSubject) -> None:
    """It yields steps 1, 2, 3 and so on, ``num_steps`` of them, each with finite metrics."""
    data = subject.data()
    steps = subject.train(subject.open(), data)
    numbers = [step.number for step in steps]
    expect(numbers == list(range(1, len(steps) + 1)), f"numbers are {numbers}")
    promised = subject.method.num_steps(data)
    expect(len(steps) == promised, f"{len(steps)} steps, where num_steps says {promised}")
    for step in steps:
        wrong = {k: v for k, v in step.metrics.items() if not math.isfinite(v)}
        expect(not wrong, f"step {step.number}: not finite: {wrong}")
        expect(bool(step.metrics), f"step {step.number} has no metrics")


def check_seconds_are_apart(subject: MethodSubject) -> None:
    """No metric's name ends in ``_s``: how long things took is in a step's ``seconds``."""
    for step in subject.train(subject.open(), subject.data()):
        timed = [name for name in step.metrics if name.endswith(SECONDS)]
        expect(not timed, f"step {step.number}: {', '.join(timed)} among the metrics")


def check_training_is_lazy(subject: MethodSubject) -> None:
    """``train`` does nothing until a step is asked for, then that and no more: each takes as many
    optimizer steps as the first.
    """
    watched = Watched(subject.open())
    training = subject.method.train(watched, subject.data())
    expect(not watched.steps and not watched.calls, "works before the first step is asked for")
    if next(training, None) is None:
        return
    each = watched.steps
    if next(training, None) is not None:
        expect(watched.steps == 2 * each, f"{each} optimizer steps at step 1, {watched.steps} at 2")


def check_nothing_is_pending_at_a_step(subject: MethodSubject) -> None:
    """When a step is yielded its gradient has been applied: nothing is left for later."""
    session = subject.open()
    next(subject.method.train(session, subject.data()))
    left = session.optim_step(AdamW(lr=0.0)).result()
    expect(left == 0, f"after a step a gradient of norm {left:.3g} is still pending")


def check_runs_repeat(subject: MethodSubject) -> None:
    """Two runs of one seed are equal to the last bit, metrics and weights: everything random comes
    from the session's seed, the step and the row.
    """
    found = []
    for _ in range(2):
        session = subject.open(seed=11)
        steps = subject.train(session, subject.data())
        found.append(([step.metrics for step in steps], subject.answers(session)))
    expect(found[0][0] == found[1][0], "two runs of one seed have other metrics")
    expect_equal(found[0][1], found[1][1], "what two runs of one seed have learnt")
