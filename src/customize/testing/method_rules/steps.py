"""Rules about the steps a method yields."""

from __future__ import annotations

import math

from customize.testing.expecting import expect
from customize.testing.method_rules.subject import MethodSubject


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
