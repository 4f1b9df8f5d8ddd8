"""Rules about the optimizer."""

from __future__ import annotations

import math

import numpy as np

from customize._batch import Floats
from customize._errors import NonFiniteError
from customize._losses import CrossEntropy
from customize.interfaces.session import AdamW, LoRA
from customize.testing.backend_rules.effects import descent, probe
from customize.testing.backend_rules.subject import BackendSubject
from customize.testing.expecting import expect, expect_close, expect_equal, expect_raises
from customize.testing.options import changed
from customize.testing.rules import needs

_RATE = 0.01


@needs("forward_backward")
def check_rate_zero_changes_nothing(subject: BackendSubject) -> None:
    """A step at learning rate 0 leaves every log-probability as it is, to the last bit."""
    session = subject.trained()
    before = session.forward(probe(subject)).result()
    session.forward_backward(subject.batch(), CrossEntropy())
    session.optim_step(AdamW(lr=0.0, weight_decay=0.1)).result()
    expect_equal(session.forward(probe(subject)).result(), before, "after a step at rate 0")


@needs("forward_backward")
def check_steps_are_adamws(subject: BackendSubject) -> None:
    """A step is AdamW's (arXiv 1711.05101), its moments corrected for their start at 0.

    Held by hand: after a step at rate 0 on a gradient g, a step on 2g moves each weight by
    lr · (2 + b1)/(1 + b1) / sqrt((4 + b2)/(1 + b2)) in the direction of g's sign, which is what
    one first step at that rate does.
    """
    b1, b2 = 0.6, 0.7
    size = (2 + b1) / (1 + b1) / math.sqrt((4 + b2) / (1 + b2))
    plain = AdamW(lr=_RATE, beta1=b1, beta2=b2, eps=1e-30, max_grad_norm=0.0)
    first = _moved(subject, [(1.0, changed(plain, lr=_RATE * size))])
    second = _moved(subject, [(1.0, changed(plain, lr=0.0)), (2.0, plain)])
    scale = float(np.abs(first).max())
    within = 5 * subject.tolerance.relative
    expect_close(second / scale, first / scale, within, "a second step, over its size by hand")


def _moved(subject: BackendSubject, steps: list[tuple[float, AdamW]]) -> Floats:
    """How log-probabilities move by steps on a batch whose weights are scaled, from a start."""
    session, batch = subject.open(), subject.batch()
    before = session.forward(probe(subject)).result()
    for scale, optimizer in steps:
        session.forward_backward(batch.with_columns(weights=scale * batch.weights), CrossEntropy())
        session.optim_step(optimizer).result()
    return session.forward(probe(subject)).result() - before


@needs("forward_backward")
def check_clipping_is_by_norm(subject: BackendSubject) -> None:
    """``max_grad_norm`` scales the whole gradient down to that norm; told is the norm before."""
    norm = _descended(subject, 0.0, 0.0)[0]
    rate = 0.3 / norm
    told, clipped = _descended(subject, rate, norm / 4)
    _, wanted = _descended(subject, rate / 4, 0.0)
    size = float(np.abs(wanted).max())
    within = 5 * subject.tolerance.relative
    expect_close(clipped / size, wanted / size, within, "clipped to a quarter of its norm")
    expect_close(told / norm, 1.0, within, "the norm told, over that before clipping")


def _descended(subject: BackendSubject, rate: float, max_grad_norm: float) -> tuple[float, Floats]:
    session = subject.trained()
    before = session.forward(probe(subject)).result()
    session.forward_backward(subject.batch(), CrossEntropy())
    norm = session.optim_step(descent(rate, max_grad_norm)).result()
    return norm, session.forward(probe(subject)).result() - before


@needs("forward_backward", "lora")
def check_weight_decay_is_decoupled(subject: BackendSubject) -> None:
    """Without a gradient a step with decay shrinks the weights by lr · weight_decay, and does
    nothing else: where that is 1, an adapter is gone, and the base answers.
    """
    session, seen = subject.open(LoRA(rank=4)), probe(subject)
    session.forward_backward(subject.batch(), CrossEntropy())
    session.optim_step(AdamW(lr=_RATE, beta1=0, max_grad_norm=0.0)).result()
    # Without beta1 nothing of that step's gradient is in the next one's mean.
    session.optim_step(AdamW(lr=1.0, beta1=0, weight_decay=1.0)).result()
    wanted = subject.engine.base().forward(seen).result()
    found = session.forward(seen).result()
    expect_close(found, wanted, subject.tolerance.logprobs, "all decayed, beside the base")


@needs("forward_backward")
def check_non_finite_gradient_is_refused(subject: BackendSubject) -> None:
    """A gradient that is not finite raises NonFiniteError; weights and optimizer are as they
    were, and nothing of it is left for the next step.
    """
    session, untouched = subject.trained(), subject.trained()
    batch, seen = subject.batch(), probe(subject)
    before = session.forward(seen).result()
    endless = batch.with_columns(weights=np.where(batch.scored, np.inf, 0.0))

    def step() -> None:
        session.forward_backward(endless, CrossEntropy()).result()
        session.optim_step(AdamW()).result()

    expect_raises(NonFiniteError, step, "a step on an infinite gradient")
    expect_equal(session.forward(seen).result(), before, "log-probabilities after the refusal")
    norms = []
    for one in (session, untouched):
        one.forward_backward(batch, CrossEntropy())
        norms.append(one.optim_step(AdamW(lr=_RATE)).result())
    expect(norms[0] == norms[1], f"the next gradient's norm is {norms[0]}, not {norms[1]}")
    after = [one.forward(seen).result() for one in (session, untouched)]
    expect_equal(after[0], after[1], "the next step, beside one that saw no such gradient")
