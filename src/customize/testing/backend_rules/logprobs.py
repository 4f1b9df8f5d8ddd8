"""Rules about log-probabilities."""

from __future__ import annotations

import numpy as np

from customize._batch import Batch
from customize.interfaces.session import Snapshot
from customize.testing.backend_rules.subject import BackendSubject
from customize.testing.expecting import expect, expect_close
from customize.testing.rules import NotApplicable

_LARGEST = 4096


def check_logprobs_are_log_probabilities(subject: BackendSubject) -> None:
    """``forward`` gives float32 numbers of the batch's length, finite and never above 0."""
    batch = subject.batch()
    snapshots: list[Snapshot] = [subject.engine.base(), subject.open()]
    for snapshot in snapshots:
        logprobs = np.asarray(snapshot.forward(batch).result())
        expect(logprobs.dtype == np.float32, f"of type {logprobs.dtype}, not float32")
        expect(logprobs.shape == (batch.num_tokens,), f"shape {logprobs.shape}")
        expect(bool(np.isfinite(logprobs).all()), "not all finite")
        expect(bool((logprobs <= 0).all()), f"up to {logprobs.max():.3g}: a probability above 1")


def check_probabilities_sum_to_one(subject: BackendSubject) -> None:
    """Over all tokens that can come next the probabilities sum to 1."""
    if subject.vocabulary > _LARGEST:
        raise NotApplicable(f"more than {_LARGEST} tokens: pass a smaller model")
    prefix = subject.batch().take([0]).tokens
    weights = np.zeros(len(prefix) + 1)
    weights[-1] = 1.0
    batch = Batch.from_sequences(
        [(np.append(prefix, t), {"weights": weights}) for t in range(subject.vocabulary)]
    )
    logprobs = subject.engine.base().forward(batch).result()
    total = np.exp(logprobs[batch.scored].astype(np.float64)).sum()
    expect_close(total, 1.0, subject.tolerance.relative, "the sum of all probabilities")


def check_sequences_do_not_see_each_other(subject: BackendSubject) -> None:
    """A sequence has the same log-probabilities alone, among others, and in any order."""
    batch = subject.batch()
    base = subject.engine.base()
    together = base.forward(batch).result()
    order = np.arange(batch.num_sequences)[::-1]
    turned = base.forward(batch.take(order)).result()
    within = subject.tolerance.logprobs
    expect_close(turned, together[batch.positions_of(order)], within, "in another order")
    for s in range(batch.num_sequences):
        alone = base.forward(batch.take([s])).result()
        expect_close(alone, together[batch.positions_of([s])], within, f"sequence {s} alone")


def check_distributions_are_those_of_forward(subject: BackendSubject) -> None:
    """``distributions`` gives float32 probabilities of every token, which sum to 1, and those of
    the tokens that follow are what ``forward`` gives.
    """
    if "distributions" not in subject.capabilities:
        raise NotApplicable("distributions is not declared")
    tokens = subject.batch().take([0]).tokens
    wanted = Batch.from_sequences([(tokens, {"weights": np.arange(len(tokens)) > 1})])
    snapshots: list[Snapshot] = [subject.engine.base(), subject.open()]
    for snapshot in snapshots:
        found_TV = np.asarray(snapshot.distributions(tokens, 2))
        shape = (len(tokens) - 2, subject.vocabulary)
        expect(found_TV.dtype == np.float32, f"of type {found_TV.dtype}, not float32")
        expect(found_TV.shape == shape, f"shape {found_TV.shape}, not {shape}")
        total_T = np.exp(found_TV.astype(np.float64)).sum(axis=1)
        expect_close(total_T, np.ones(len(total_T)), subject.tolerance.relative, "the sums")
        said_T = found_TV[np.arange(len(total_T)), tokens[2:]]
        forward_T = snapshot.forward(wanted).result()[2:]
        expect_close(said_T, forward_T, subject.tolerance.logprobs, "beside forward")
