"""Rules about sessions, snapshots and the base: who moves, and who does not."""

from __future__ import annotations

import numpy as np

from customize._errors import CheckpointError, Unsupported
from customize._losses import CrossEntropy
from customize.interfaces.sampling import Prompt, Sampling
from customize.interfaces.session import AdamW, Full, Session
from customize.testing.backend_rules.effects import probe
from customize.testing.backend_rules.subject import BackendSubject
from customize.testing.expecting import expect, expect_close, expect_equal, expect_raises
from customize.testing.rules import needs


def _step(session: Session, subject: BackendSubject, seed: int = 3) -> None:
    session.forward_backward(subject.batch(seed=seed), CrossEntropy())
    session.optim_step(AdamW(lr=0.02)).result()


@needs("forward_backward", "snapshot")
def check_snapshot_does_not_move(subject: BackendSubject) -> None:
    """A snapshot answers as the session did when it was taken, when training goes on as well."""
    seen = probe(subject)
    for adapter in subject.adapters:
        session = subject.trained(adapter)
        before = session.forward(seen).result()
        plain, named = session.snapshot(), session.snapshot("kept")
        _step(session, subject)
        after = session.forward(seen).result()
        expect(not np.array_equal(after, before), "a step moved nothing")
        expect_equal(plain.forward(seen).result(), before, "a snapshot, one step later")
        expect_equal(named.forward(seen).result(), before, "a named snapshot, one step later")
        again = session.named_snapshot("kept").forward(seen).result()
        expect_equal(again, before, "the named snapshot, asked for by name")


@needs("snapshot")
def check_unknown_snapshot_is_refused(subject: BackendSubject) -> None:
    """A name that no snapshot was given raises CheckpointError, and is in its message."""
    session = subject.open()
    expect_raises(
        CheckpointError, lambda: session.named_snapshot("nobody"), "an unknown name", "nobody"
    )


@needs("forward_backward", "base")
def check_base_is_the_base(subject: BackendSubject) -> None:
    """``base()`` of a session answers as the engine's own base, before training and after.

    Where all weights are trained it may raise Unsupported instead.
    """
    seen = probe(subject)
    wanted = subject.engine.base().forward(seen).result()
    for adapter in subject.adapters:
        session = subject.trained(adapter)
        try:
            base = session.base()
        except Unsupported:
            if not isinstance(adapter, Full):
                raise
            continue
        expect_equal(base.forward(seen).result(), wanted, f"the base under {adapter!r}")
        moved = np.abs(session.forward(seen).result() - wanted).max()
        expect(moved > subject.tolerance.logprobs, "a trained session answers as the base does")


@needs("lora")
def check_new_adapter_is_the_base(subject: BackendSubject) -> None:
    """A session that was just opened with LoRA answers as the base."""
    seen = probe(subject)
    wanted = subject.engine.base().forward(seen).result()
    found = subject.open(subject.adapters[0]).forward(seen).result()
    expect_close(found, wanted, subject.tolerance.logprobs, "a new adapter, beside the base")


@needs("forward_backward")
def check_sessions_do_not_meet(subject: BackendSubject) -> None:
    """Sessions on one engine share the base and nothing else: one learns, the others do not."""
    seen = probe(subject)
    still = subject.trained()
    before = still.forward(seen).result()
    base = subject.engine.base().forward(seen).result()
    for adapter in subject.adapters:
        other = subject.trained(adapter, seed=2)
        _step(other, subject)
    expect_equal(still.forward(seen).result(), before, "a session beside one that learns")
    expect_equal(subject.engine.base().forward(seen).result(), base, "the base under them")


@needs("forward_backward")
def check_same_seed_same_run(subject: BackendSubject) -> None:
    """Two sessions of one seed do the same to the last bit: they learn, and draw, alike."""
    found = []
    for _ in range(2):
        session = subject.trained(seed=5)
        found.append((session.forward(probe(subject)).result(), _drawn(subject, session, 9)))
    expect_equal(found[0][0], found[1][0], "log-probabilities of two runs of one seed")
    expect(found[0][1] == found[1][1], "two runs of one seed draw other tokens")
    if "sample" in subject.capabilities:
        other = _drawn(subject, subject.trained(seed=5), 10)
        expect(other != found[0][1], "another seed of the prompt draws the same tokens")


def _drawn(subject: BackendSubject, session: Session, seed: int) -> list[list[int]]:
    """Tokens of three completions; none where it cannot sample."""
    if "sample" not in subject.capabilities:
        return []
    prompt = Prompt(subject.batch().take([0]).tokens, n=3, seed=seed)
    [completions] = session.sample([prompt], Sampling(max_tokens=8, stop_tokens=())).result()
    return [completion.tokens.tolist() for completion in completions]
