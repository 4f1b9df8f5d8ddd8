"""Seeing a gradient through the interface alone: by its norm, and by what a step along it does.

Knows no rule. An AdamW step without memory (both betas 0) and with an eps far above the gradient
is one of plain gradient descent: lr · g / (|g| + eps) = (lr / eps) · g.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
import numpy as np

from customize._batch import Batch, Floats
from customize.interfaces.session import AdamW, Session
from customize.testing.backend_rules.subject import BackendSubject
from customize.testing.expecting import expect, expect_close

_EPS = 1e6
# How far the weights are moved along the gradient, as a Euclidean distance.
_DISTANCE = 0.3

Add = Callable[[Session], object]


def descent(rate: float, max_grad_norm: float = 0.0) -> AdamW:
    """Plain gradient descent, as AdamW."""
    return AdamW(lr=rate * _EPS, beta1=0, beta2=0, eps=_EPS, max_grad_norm=max_grad_norm)


@attrs.frozen(eq=False)
class Effect:
    """What a pending gradient is: its norm, and how log-probabilities move along it.

    moved: float32 [N] of the probe.
    """

    norm: float
    moved: Floats


def probe(subject: BackendSubject) -> Batch:
    """Every token of some sequences that training has seen, and of some it has not."""
    batch = subject.batch(lengths=(8, 8, 12, 6), seed=0)
    return batch.with_columns(weights=np.ones(batch.num_tokens))


def effect_of(subject: BackendSubject, add: Add) -> Effect:
    """The effect of what ``add`` adds to the pending gradient of a session begun as all are."""
    session = subject.trained()
    seen = probe(subject)
    before = session.forward(seen).result()
    add(session)
    norm = session.optim_step(descent(0.0)).result()
    add(session)
    session.optim_step(descent(_DISTANCE / norm if norm else 0.0)).result()
    return Effect(norm, session.forward(seen).result() - before)


def expect_same_gradient(subject: BackendSubject, found: Effect, wanted: Effect, what: str) -> None:
    """Raises RuleBroken unless both are the same gradient, up to rounding."""
    expect(wanted.norm > 0, "the batch has no gradient")
    ratio = found.norm / wanted.norm
    within = subject.tolerance.relative
    expect(abs(ratio - 1) <= within, f"{what}: the gradient's norm is {ratio:.4g} times as large")
    size = float(np.abs(wanted.moved).max())
    expect_close(found.moved / size, wanted.moved / size, 5 * within, f"{what}: its direction")
