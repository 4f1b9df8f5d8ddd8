"""Files that outlive a kill and a power cut: written beside, synced, renamed.

Knows nothing of what is in them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from customize._errors import CustomizeError, RunError


def replace_text(file: Path, text: str) -> None:
    """The file holds ``text``, or what it held before, whatever happens.

    Raises:
        RunError: it could not be written.
    """
    beside = file.with_name(f".{file.name}.writing")
    with writing(str(file)):
        with beside.open("w", encoding="utf-8") as stream:
            stream.write(text)
        sync(beside)
        beside.replace(file)
        sync(file.parent)


def sync(path: Path) -> None:
    """Flush a file's content, or the names in a folder, to the disk."""
    if os.name == "nt" and path.is_dir():
        return  # Windows has no sync of folders
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_all(folder: Path) -> None:
    """Flush everything in a folder, then the folder itself."""
    for entry in sorted(folder.iterdir()):
        if entry.is_dir():
            sync_all(entry)
        elif entry.is_file():
            sync(entry)
    sync(folder)


@contextmanager
def writing(what: str, error: type[CustomizeError] = RunError) -> Iterator[None]:
    """A full or failing disk, met inside, is told plainly.

    Raises:
        RunError: or ``error``.
    """
    try:
        yield
    except _failures() as failure:
        reason = getattr(failure, "strerror", None) or failure
        raise error(
            f"{what} could not be written: {reason}. What was saved before is whole: free some "
            "space, or mend what is named, and give the same command again"
        ) from failure


def _failures() -> tuple[type[Exception], ...]:
    """safetensors tells of a full disk by an error of its own, which is no OSError."""
    from safetensors import SafetensorError

    return OSError, SafetensorError
