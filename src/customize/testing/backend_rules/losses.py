"""Rules about losses: what is cut, and by which route."""

from __future__ import annotations

from typing import get_args

import attrs
import numpy as np
import numpy.typing as npt

from customize._batch import Batch
from customize._differentiate import Couples
from customize._losses import CrossEntropy, ImportanceSampling, Loss, Numbers
from customize.interfaces.session import LossOutput, Session
from customize.testing.backend_rules.effects import Effect, effect_of, expect_same_gradient
from customize.testing.backend_rules.subject import BackendSubject
from customize.testing.expecting import expect, expect_close
from customize.testing.rules import needs


@attrs.frozen
class SquaredSums:
    """The squares of the log-probabilities' sums over each unit; notes what it was shown.

    Cut anywhere inside a unit it is another loss.
    """

    couples: Couples
    seen: list[Batch] = attrs.field(factory=list, eq=False)

    def evaluate(self, logprobs: npt.NDArray[np.floating], batch: Batch) -> tuple[float, Numbers]:
        self.seen.append(batch)
        unit_N = self._unit_of(batch)
        values = np.where(batch.scored, logprobs, 0.0).astype(np.float64)
        sums = np.zeros(unit_N.max() + 1)
        np.add.at(sums, unit_N, values)
        return float((sums**2).sum() / 2), np.where(batch.scored, sums[unit_N], 0.0)

    def _unit_of(self, batch: Batch) -> npt.NDArray[np.int64]:
        """The number of each token's unit, int64 [N]."""
        if self.couples == "token":
            return np.arange(batch.num_tokens)
        if self.couples == "batch":
            return np.zeros(batch.num_tokens, np.int64)
        sequences = np.arange(batch.num_sequences)
        owner = batch.groups if self.couples == "group" else sequences
        return np.repeat(owner, batch.lengths).astype(np.int64)


@attrs.frozen
class Own:
    """A named loss under no name that a backend could know."""

    loss: Loss
    couples: Couples

    def evaluate(self, logprobs: npt.NDArray[np.floating], batch: Batch) -> tuple[float, Numbers]:
        return self.loss.evaluate(logprobs, batch)


def _long(subject: BackendSubject) -> Batch:
    return subject.batch(lengths=(30, 5, 41, 17, 2, 24, 36, 9), seed=5)


@needs("forward_backward")
def check_cuts_change_nothing(subject: BackendSubject) -> None:
    """Cut as the loss's ``couples`` allows, a batch has the same gradient; a unit is never cut.

    A unit is a token, a sequence, a group, or the whole batch.
    """
    batch = _long(subject)
    for couples in get_args(Couples):
        loss = SquaredSums(couples)
        whole = _effect(subject, [batch], loss)
        for shown in loss.seen:
            _expect_whole_units(batch, shown, couples)
        found = _effect(subject, _cuts(batch, couples), loss)
        expect_same_gradient(subject, found, whole, f"a loss coupled by {couples}, cut")


def _cuts(batch: Batch, couples: Couples) -> list[Batch]:
    """The batch in as many parts as are allowed."""
    if couples == "batch":
        return [batch]
    if couples == "group":
        return [batch.take(np.flatnonzero(batch.groups == g)) for g in np.unique(batch.groups)]
    parts = [batch.take([s]) for s in range(batch.num_sequences)]
    return parts if couples == "sequence" else [half for part in parts for half in _halves(part)]


def _halves(batch: Batch) -> list[Batch]:
    """The same sequence twice: the weights of its first half, and of its second."""
    first = np.arange(batch.num_tokens) < batch.num_tokens // 2
    halves = [np.where(first, batch.weights, 0), np.where(first, 0, batch.weights)]
    return [batch.with_columns(weights=weights) for weights in halves]


def _effect(subject: BackendSubject, batches: list[Batch], loss: Loss) -> Effect:
    def each(session: Session) -> None:
        for batch in batches:
            session.forward_backward(batch, loss)

    return effect_of(subject, each)


def _expect_whole_units(batch: Batch, shown: Batch, couples: Couples) -> None:
    told = f"a loss coupled by {couples} was shown"
    if couples == "batch":
        expect(shown.num_tokens == batch.num_tokens, f"{told} {shown.num_tokens} tokens only")
    if couples == "sequence":
        known = {_content(batch.take([s])) for s in range(batch.num_sequences)}
        parts = [_content(shown.take([s])) for s in range(shown.num_sequences)]
        expect(known.issuperset(parts), f"{told} a part of a sequence")
    if couples == "group":
        for group in np.unique(shown.groups):
            wanted = int((batch.groups == group).sum())
            expect(int((shown.groups == group).sum()) == wanted, f"{told} a part of a group")


def _content(sequence: Batch) -> tuple[bytes, bytes]:
    return sequence.tokens.tobytes(), sequence.weights.tobytes()


@needs("forward_backward")
def check_loss_routes_agree(subject: BackendSubject) -> None:
    """A named loss, the same as a function of one's own, and the same coupled over the batch (so
    that it goes by the surrogate) give the same gradient.
    """
    batch = _scored_before(subject)
    routes: tuple[Couples, ...] = ("sequence", "batch")
    for named in (CrossEntropy(), ImportanceSampling()):
        wanted = _effect(subject, [batch], named)
        for couples in routes:
            found = _effect(subject, [batch], Own(named, couples))
            told = f"{named.name} as one's own loss coupled by {couples}"
            expect_same_gradient(subject, found, wanted, told)


@needs("forward_backward")
def check_loss_is_told_as_it_is(subject: BackendSubject) -> None:
    """``forward_backward`` gives the loss, a sum over the batch, and the log-probabilities of
    ``forward``; by every route.
    """
    batch = _scored_before(subject)
    session = subject.trained()
    logprobs = session.forward(batch).result()
    within = subject.tolerance
    squared = [SquaredSums(couples) for couples in get_args(Couples)]
    losses: list[Loss] = [CrossEntropy(), ImportanceSampling(), *squared]
    for loss in losses:
        found: LossOutput = session.forward_backward(batch, loss).result()
        wanted, _ = loss.evaluate(logprobs, batch)
        told = getattr(loss, "name", f"a loss coupled by {loss.couples}")
        expect_close(found.loss / wanted, 1.0, within.relative, f"{told}: the loss over its sum")
        expect_close(found.logprobs, logprobs, within.logprobs, f"{told}: the log-probabilities")


def _scored_before(subject: BackendSubject) -> Batch:
    """A batch with advantages, and log-probabilities it was sampled with."""
    batch = subject.batch(lengths=(12, 7, 20, 3), seed=11)
    rng = np.random.default_rng(11)
    sampled = subject.open().forward(batch).result() + rng.normal(0, 0.1, batch.num_tokens)
    advantages = rng.choice([-1.0, 1.0, 2.0], batch.num_tokens)
    return batch.with_columns(advantages=advantages, sampling_logprobs=sampled)
