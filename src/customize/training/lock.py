"""One process a run folder. Knows nothing of runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from customize._errors import RunBusy


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold the folder; the system lets go when the process ends, however it ends.

    Raises:
        RunBusy: another process holds it; the message has its pid.
    """
    file = folder / ".lock"
    with file.open("a+", encoding="utf-8") as stream:
        try:
            _lock(stream.fileno())
        except OSError as error:
            stream.seek(0)
            pid = stream.read().strip() or "unknown"
            raise RunBusy(
                f"{folder} is in use by the process {pid}: wait for it, or end it"
            ) from error
        stream.seek(0)
        stream.truncate()
        stream.write(str(os.getpid()))
        stream.flush()
        yield


def _lock(descriptor: int) -> None:
    if os.name == "nt":
        import msvcrt

        # A byte far past the pid, so that others can still read it.
        os.lseek(descriptor, 1 << 20, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        return
    import fcntl

    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
