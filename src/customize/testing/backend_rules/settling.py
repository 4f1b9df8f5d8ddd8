"""Rules about choices that are left to a backend."""

from __future__ import annotations

import numpy as np

from customize._batch import Floats
from customize._losses import CrossEntropy
from customize.interfaces.backend import Backend
from customize.interfaces.session import AdamW
from customize.testing.backend_rules.effects import probe
from customize.testing.backend_rules.subject import BackendSubject
from customize.testing.expecting import expect, expect_equal
from customize.testing.rules import needs


def check_choices_are_made_once(subject: BackendSubject) -> None:
    """``settled`` leaves no choice, and makes each as it was made before: settled once more, or
    given what it said of itself in ``numerics``, a backend says the same there, in texts and whole
    numbers, and declares the same.
    """
    settled = subject.backend.settled({})
    said = dict(settled.numerics())
    odd = {name: value for name, value in said.items() if not isinstance(value, (str, int))}
    expect(not odd, f"neither texts nor whole numbers: {odd}")
    again = {"once more": settled.settled({}), "as before": subject.backend.settled(said)}
    for told, other in again.items():
        found = dict(other.numerics())
        expect(found == said, f"settled {told}, numerics are {found}, not {said}")
        expect(other.capabilities() == subject.capabilities, f"settled {told}, it declares others")


@needs("forward_backward")
def check_numerics_decide_the_bits(subject: BackendSubject) -> None:
    """Two backends that were settled on the same ``numerics`` compute the same, to the last bit:
    whatever else their numbers depend on belongs there.
    """
    settled = subject.backend.settled({})
    again = subject.backend.settled(settled.numerics())
    wanted, found = (_learnt(subject, backend) for backend in (settled, again))
    expect_equal(found, wanted, "after two steps, beside one settled on the same numerics")


def _learnt(subject: BackendSubject, backend: Backend) -> Floats:
    """Log-probabilities after two steps on an engine that is loaded anew."""
    session = backend.load(subject.model).open(subject.adapters[0], seed=1)
    for step in range(2):
        session.forward_backward(subject.batch(seed=step), CrossEntropy())
        session.optim_step(AdamW(lr=0.01)).result()
    return np.asarray(session.forward(probe(subject)).result())
