"""Rules about saving a session and going on."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from customize._errors import CheckpointError, ModelError
from customize._losses import CrossEntropy
from customize.interfaces.session import AdamW, Adapter, LoRA, Session
from customize.testing.backend_rules.effects import probe
from customize.testing.backend_rules.subject import BackendSubject
from customize.testing.expecting import expect, expect_close, expect_equal, expect_raises
from customize.testing.rules import needs


def _saved(subject: BackendSubject, adapter: Adapter | None = None) -> tuple[Session, Path]:
    """A session between ``forward_backward`` and ``optim_step``, and where it was saved."""
    session = subject.trained(adapter)
    session.forward_backward(subject.batch(seed=8), CrossEntropy())
    folder = subject.folder()
    session.save(folder)
    return session, folder


@needs("forward_backward", "save")
def check_saved_session_goes_on_exactly(subject: BackendSubject) -> None:
    """Loaded on an engine loaded anew, into a session that had learnt something else, what was
    saved answers the same to the last bit, and so it does after the next steps: moments and
    pending gradient are there too, and nothing else is.
    """
    seen = probe(subject)
    engine = subject.backend.load(subject.model)
    for adapter in subject.adapters:
        session, folder = _saved(subject, adapter)
        other = engine.open(adapter, seed=77)
        other.forward_backward(subject.batch(seed=30), CrossEntropy())
        other.optim_step(AdamW(lr=0.05)).result()
        other.forward_backward(subject.batch(seed=31), CrossEntropy())
        other.load(folder)
        told = f"{type(adapter).__name__}: "
        wanted, found = (s.forward(seen).result() for s in (session, other))
        expect_equal(found, wanted, f"{told}loaded")
        expect_equal(other.seed, session.seed, f"{told}the seed")
        for step in range(2):
            for one in (session, other):
                one.optim_step(AdamW(lr=0.01)).result()
                one.forward_backward(subject.batch(seed=9), CrossEntropy())
            wanted, found = (s.forward(seen).result() for s in (session, other))
            expect_equal(found, wanted, f"{told}{step + 1} steps later")


@needs("forward_backward", "save", "snapshot")
def check_named_snapshots_are_saved(subject: BackendSubject) -> None:
    """A named snapshot is there after ``save`` and ``load``, and answers the same to the last
    bit.
    """
    seen = probe(subject)
    session = subject.trained()
    wanted = session.snapshot("a reference/1").forward(seen).result()
    session.forward_backward(subject.batch(), CrossEntropy())
    session.optim_step(AdamW(lr=0.02)).result()
    folder = subject.folder()
    session.save(folder)
    other = subject.open(seed=4)
    other.load(folder)
    found = other.named_snapshot("a reference/1").forward(seen).result()
    expect_equal(found, wanted, "a named snapshot after load")


@needs("save")
def check_missing_part_is_named(subject: BackendSubject) -> None:
    """Where a file of what was saved is missing, ``load`` raises CheckpointError with its name."""
    session = subject.open()
    whole = subject.folder()
    session.save(whole)
    names = sorted(str(p.relative_to(whole)) for p in whole.rglob("*") if p.is_file())
    for name in names:
        folder = subject.folder()
        session.save(folder)
        (folder / name).unlink()
        expect_raises(CheckpointError, partial(session.load, folder), f"without {name}", name)


@needs("save")
def check_a_failed_load_changes_nothing(subject: BackendSubject) -> None:
    """A session answers as before when a load was refused."""
    session, seen = _learnt(subject), probe(subject)
    before = session.forward(seen).result()
    expect_raises(CheckpointError, lambda: session.load(subject.folder()), "an empty folder")
    expect_equal(session.forward(seen).result(), before, "after a load that was refused")


@needs("save", "lora")
def check_saved_weights_open_again(subject: BackendSubject) -> None:
    """What ``save_weights`` wrote is opened by ``Engine.open`` with the same log-probabilities,
    to the last bit.
    """
    seen = probe(subject)
    for adapter in subject.adapters:
        session = _learnt(subject, adapter)
        folder = subject.folder() / "weights"
        session.save_weights(folder)
        wanted = session.forward(seen).result()
        found = subject.engine.open(folder).forward(seen).result()
        expect_equal(found, wanted, f"{type(adapter).__name__}, opened")


@needs("forward_backward", "save", "lora", "stack")
def check_an_adapter_stands_on_another(subject: BackendSubject) -> None:
    """LoRA on the folder of an adapter begins as that one, which then stays as it is: a step that
    only decays weights changes nothing. It learns, is saved and gone on with, and what
    ``save_weights`` writes is both as one.
    """
    seen, near = probe(subject), subject.tolerance.logprobs
    session, folder = subject.trained(subject.adapters[0]), subject.folder() / "below"
    session.save_weights(folder)
    wanted = session.forward(seen).result()
    on = LoRA(rank=2, alpha=6.0, on=str(folder))
    top = subject.engine.open(on, seed=3)
    expect_close(top.forward(seen).result(), wanted, near, "a new adapter on a trained one")
    top.optim_step(AdamW(lr=0.5, weight_decay=1.0)).result()
    expect_close(top.forward(seen).result(), wanted, near, "the one below, weights decayed")
    _step(top, subject)
    learnt = top.forward(seen).result()
    moved = float(np.abs(learnt - wanted).max())
    expect(moved > near, "an adapter on another one does not learn")
    saved, as_one = subject.folder(), subject.folder() / "both"
    top.save(saved)
    top.save_weights(as_one)
    again = subject.engine.open(on, seed=3)
    again.load(saved)
    expect_equal(again.forward(seen).result(), learnt, "saved with what is below, and loaded")
    found = subject.engine.open(as_one).forward(seen).result()
    expect_close(found, learnt, near, "both as one adapter")


def _step(session: Session, subject: BackendSubject) -> None:
    session.forward_backward(subject.batch(), CrossEntropy())
    session.optim_step(AdamW(lr=0.05)).result()


def _learnt(subject: BackendSubject, adapter: Adapter | None = None) -> Session:
    can = "forward_backward" in subject.capabilities
    return subject.trained(adapter) if can else subject.open(adapter)


@needs("save")
def check_no_weights_are_refused(subject: BackendSubject) -> None:
    """A folder without weights is refused with an error of ours."""
    empty = subject.folder()
    expect_raises(
        (CheckpointError, ModelError), lambda: subject.engine.open(empty), "an empty folder"
    )
