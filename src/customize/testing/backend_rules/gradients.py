"""Rules about gradients."""

from __future__ import annotations

import numpy as np

from customize._batch import Batch
from customize._losses import CrossEntropy
from customize.interfaces.session import AdamW, Session
from customize.testing.backend_rules.effects import descent, effect_of, expect_same_gradient
from customize.testing.backend_rules.subject import BackendSubject
from customize.testing.expecting import expect, expect_close
from customize.testing.rules import needs

# Share of the loss that the step of the finite difference takes away, and what the curve of the
# loss over such a step explains.
_STEP, _CURVE = 0.03, 0.01


@needs("forward_backward")
def check_gradient_is_that_of_the_loss(subject: BackendSubject) -> None:
    """A small step along the gradient lowers the loss by as much as the gradient's norm says.

    That is a finite difference along the gradient, by the trapezoid rule; held for each sort of
    adapter.
    """
    batch = subject.batch()
    for adapter in subject.adapters:
        session = subject.trained(adapter)
        loss, norm = _loss_and_norm(session, batch)
        rate = _STEP * loss / norm**2
        session.forward_backward(batch, CrossEntropy())
        session.optim_step(descent(rate)).result()
        after, norm_after = _loss_and_norm(session, batch)
        wanted = rate * norm * (norm + norm_after) / 2
        told = f"{type(adapter).__name__}: what a step took off the loss, over what it should"
        within = _CURVE + 2 * subject.tolerance.relative
        expect_close((loss - after) / wanted, 1.0, within, told)


def _loss_and_norm(session: Session, batch: Batch) -> tuple[float, float]:
    """The loss by ``forward``, and the gradient's norm; nothing is changed."""
    loss = -float((batch.weights * session.forward(batch).result()).sum(dtype=np.float64))
    session.forward_backward(batch, CrossEntropy())
    return loss, session.optim_step(descent(0.0)).result()


@needs("forward_backward")
def check_gradients_add(subject: BackendSubject) -> None:
    """Gradients add over calls until a step, which applies and clears them."""
    batch = subject.batch()

    def at_once(session: Session) -> None:
        session.forward_backward(batch, CrossEntropy())

    def in_turn(session: Session) -> None:
        for part in ([0, 1], [2], [3]):
            session.forward_backward(batch.take(part), CrossEntropy())

    added, wanted = effect_of(subject, in_turn), effect_of(subject, at_once)
    expect_same_gradient(subject, added, wanted, "three calls instead of one")
    session = subject.trained()
    at_once(session)
    session.optim_step(AdamW())
    left = session.optim_step(AdamW()).result()
    expect(left == 0, f"after a step a gradient of norm {left:.3g} is still pending")


@needs("forward_backward")
def check_zero_weight_is_ignored(subject: BackendSubject) -> None:
    """Where the weight is 0 the log-probability is 0, and nothing adds to the gradient."""
    batch = subject.batch()
    logprobs = subject.open().forward(batch).result()
    expect(not logprobs[~batch.scored].any(), "log-probabilities where the weight is 0")
    silent = subject.batch(lengths=(6, 10), seed=7)
    silent = silent.with_columns(weights=np.zeros(silent.num_tokens))
    nothing = effect_of(subject, lambda session: session.forward_backward(silent, CrossEntropy()))
    expect(nothing.norm == 0, f"a batch without weights has a gradient of norm {nothing.norm:.3g}")
    both = _joined(batch, silent)
    found = effect_of(subject, lambda session: session.forward_backward(both, CrossEntropy()))
    wanted = effect_of(subject, lambda session: session.forward_backward(batch, CrossEntropy()))
    expect_same_gradient(subject, found, wanted, "with sequences of weight 0")


def _joined(*batches: Batch) -> Batch:
    parts = [batch.take([s]) for batch in batches for s in range(batch.num_sequences)]
    return Batch.from_sequences([(p.tokens, {"weights": p.weights}) for p in parts])
