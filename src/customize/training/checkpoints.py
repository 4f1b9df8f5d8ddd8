"""Checkpoints: sealed folders by step, of which the newest whole one counts. Knows no session."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs

from customize._errors import CheckpointError
from customize._files import sync, writing
from customize.training import sealed

_NAME = "step-{:08d}"


@attrs.frozen
class Checkpoint:
    """A whole checkpoint and its step."""

    folder: Path
    step: int


def write(
    folder: Path, step: int, fill: Callable[[Path], None], facts: Mapping[str, Any], keep: int = 2
) -> Checkpoint:
    """Make the checkpoint of a step; ``fill`` writes its files; older ones than ``keep`` go.

    Raises:
        CheckpointError: it could not be written (a full disk); the old ones are untouched.
    """
    final = folder / _NAME.format(step)
    with writing(f"the checkpoint of step {step} in {folder}", CheckpointError):
        if not folder.is_dir():
            folder.mkdir(parents=True)
            sync(folder.parent)
        _clear(folder)
        sealed.write(final, fill, facts)
    # Only older ones: a damaged one of a later step must never push out the one just written.
    older = [c for c in _steps(folder) if c.step < step]
    for old in older[: max(0, len(older) + 1 - keep)]:
        shutil.rmtree(old.folder, ignore_errors=True)  # what is left goes the next time
    return Checkpoint(final, step)


def latest(folder: Path, complain: Callable[[str], None]) -> Checkpoint | None:
    """The newest whole checkpoint, by step; each damaged one is named through ``complain``."""
    return latest_before(folder, None, complain)


def latest_before(
    folder: Path, step: int | None, complain: Callable[[str], None]
) -> Checkpoint | None:
    """The same among those of earlier steps than ``step``."""
    for checkpoint in reversed(_steps(folder)):
        if step is not None and checkpoint.step >= step:
            continue
        fault = sealed.damage(checkpoint.folder)
        if fault is None:
            return checkpoint
        complain(f"the checkpoint {checkpoint.folder.name} is damaged ({fault}): not used")
    return None


def set_aside(folder: Path, newer_than: int) -> None:
    """Rename checkpoints after a step, which ``latest`` found damaged, so that none counts."""
    for checkpoint in _steps(folder):
        if checkpoint.step > newer_than:
            aside = folder / f"damaged-{checkpoint.folder.name}"
            if aside.exists():
                shutil.rmtree(aside)
            checkpoint.folder.rename(aside)


def _steps(folder: Path) -> list[Checkpoint]:
    """Checkpoints by step; never by time, which may jump."""
    names = [p for p in folder.glob("step-*") if p.is_dir() and p.name[5:].isdigit()]
    return sorted((Checkpoint(p, int(p.name[5:])) for p in names), key=lambda c: c.step)


def _clear(folder: Path) -> None:
    """What a killed writer left; the run's lock says that none is at work."""
    for left in folder.glob(".step-*.writing"):
        shutil.rmtree(left, ignore_errors=True)
