"""Checkpoints: written beside, hashed, synced, renamed; read only when whole. Knows no session.

Order of writing: files, their sync, the manifest and its sync, rename, sync of the folder. So a
kill or a power cut leaves the old ones and never a mixture.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs

from customize._errors import CheckpointError

MANIFEST = "MANIFEST.json"
SCHEMA = 1
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
    beside = folder / f".{final.name}.{os.getpid()}.writing"
    try:
        _clear(folder)
        beside.mkdir(parents=True)
        fill(beside)
        _seal(beside, step, facts)
        if final.exists():
            shutil.rmtree(final)
        beside.rename(final)
        _sync(folder)
    except _writing_failures() as error:
        shutil.rmtree(beside, ignore_errors=True)
        reason = getattr(error, "strerror", None) or error
        raise CheckpointError(
            f"the checkpoint of step {step} could not be written to {folder}: {reason}. "
            "The checkpoints before it are whole: free some space and run the same command again"
        ) from error
    # Only older ones: a damaged one of a later step must never push out the one just written.
    older = [c for c in _steps(folder) if c.step < step]
    for old in older[: max(0, len(older) + 1 - keep)]:
        shutil.rmtree(old.folder)
    return Checkpoint(final, step)


def latest(folder: Path, complain: Callable[[str], None]) -> Checkpoint | None:
    """The newest whole checkpoint, by step; each damaged one is named through ``complain``."""
    for checkpoint in reversed(_steps(folder)):
        fault = damage(checkpoint.folder)
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


def damage(checkpoint: Path) -> str | None:
    """What is wrong with a checkpoint's files, naming the first, or None."""
    try:
        manifest = json.loads((checkpoint / MANIFEST).read_text("utf-8"))
        files = manifest["files"]
        sealed = manifest.pop("sha256")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return f"{MANIFEST} is missing or unreadable"
    if _digest(manifest) != sealed:
        return f"{MANIFEST} was changed"
    for name, facts in files.items():
        fault = _file_damage(checkpoint / name, facts)
        if fault:
            return f"{name} {fault}"
    extra = sorted(_files(checkpoint).keys() - files.keys() - {MANIFEST})
    return f"{extra[0]} is not in {MANIFEST}" if extra else None


def facts_of(checkpoint: Path) -> dict[str, Any]:
    """What ``write`` was told of a whole checkpoint."""
    manifest = json.loads((checkpoint / MANIFEST).read_text("utf-8"))
    facts: dict[str, Any] = manifest["facts"]
    return facts


def _file_damage(file: Path, facts: Mapping[str, Any]) -> str | None:
    if not file.is_file():
        return "is missing"
    if file.stat().st_size != facts["size"]:
        return f"has {file.stat().st_size} bytes, not {facts['size']}"
    return None if _sha256(file) == facts["sha256"] else "was changed"


def _seal(folder: Path, step: int, facts: Mapping[str, Any]) -> None:
    files = {}
    for name, file in sorted(_files(folder).items()):
        _sync(file)
        files[name] = {"size": file.stat().st_size, "sha256": _sha256(file)}
    manifest = {"schema": SCHEMA, "step": step, "facts": dict(facts), "files": files}
    manifest["sha256"] = _digest(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1), "utf-8")
    _sync(folder / MANIFEST)
    _sync(folder)


def _files(folder: Path) -> dict[str, Path]:
    return {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}


def _writing_failures() -> tuple[type[Exception], ...]:
    """safetensors tells of a full disk by an error of its own, which is no OSError."""
    from safetensors import SafetensorError

    return OSError, SafetensorError


def _digest(manifest: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _steps(folder: Path) -> list[Checkpoint]:
    """Checkpoints by step; never by time, which may jump."""
    names = [p for p in folder.glob("step-*") if p.is_dir() and p.name[5:].isdigit()]
    return sorted((Checkpoint(p, int(p.name[5:])) for p in names), key=lambda c: c.step)


def _clear(folder: Path) -> None:
    """What a killed writer left; the run's lock says that none is at work."""
    for left in folder.glob(".step-*.writing"):
        shutil.rmtree(left, ignore_errors=True)


def _sync(path: Path) -> None:
    if os.name == "nt" and path.is_dir():
        return  # Windows has no sync of folders
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
