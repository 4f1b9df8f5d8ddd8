"""One process a folder. Knows nothing of what is in it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TextIO

from customize._errors import RunBusy, RunError
from customize._files import writing

LOCK = ".lock"


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold the folder; the system lets go when the process ends, however it ends.

    Raises:
        RunBusy: another process holds it; the message has its pid, machine and time.
        RunError: the folder cannot be written or locked.
    """
    file = folder / LOCK
    with writing(str(file)):
        opened = file.open("a+", encoding="utf-8")
    with opened as stream:
        _take(stream, folder)
        with writing(str(file)):
            stream.seek(0)
            stream.truncate()
            now = datetime.now().astimezone()
            stream.write(f"{os.getpid()} on {socket.gethostname()} since {now:%Y-%m-%d %H:%M}")
            stream.flush()
        yield


def _take(stream: TextIO, folder: Path) -> None:
    try:
        _lock(stream.fileno())
    except (BlockingIOError, PermissionError) as error:
        stream.seek(0)
        holder = stream.read().strip() or "unknown"
        raise RunBusy(
            f"{folder} is in use by the process {holder}: wait for it, or end it"
        ) from error
    except OSError as error:
        raise RunError(
            f"{folder} cannot be locked ({error.strerror}): take a folder on a disk of this machine"
        ) from error


def _lock(descriptor: int) -> None:
    if os.name == "nt":
        import msvcrt

        # A byte far past the pid, so that others can still read it.
        os.lseek(descriptor, 1 << 20, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        return
    import fcntl

    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
