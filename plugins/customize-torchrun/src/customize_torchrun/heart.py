"""Signs of life: each process gives some, and ends when one it needs gives none any more.

A thread of its own, so that it beats while the process computes or waits. Knows no work.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterable
from contextlib import suppress

from torch.distributed import Store

from customize_torchrun.launch import Launch, whereabouts

_BEAT_S = 0.5
_FAILED = "failed"


class Heart(threading.Thread):
    """Beats for this process, and listens to those of ``watched`` ranks."""

    def __init__(
        self, store: Store, launch: Launch, watched: Iterable[int], silence_s: float
    ) -> None:
        super().__init__(name="customize-heart", daemon=True)
        self._store = store
        self._launch = launch
        self._silence_s = silence_s
        self._stopped = threading.Event()
        self._beats = 0
        now = time.monotonic()
        self._heard = dict.fromkeys(watched, ("", now))
        self._local: dict[int, int] = {}  # pids of those that are watched and on this machine
        store.set(f"who/{launch.rank}", json.dumps({"where": whereabouts(), "pid": os.getpid()}))

    def run(self) -> None:
        while not self._stopped.wait(_BEAT_S):
            try:
                self._beat()
            except RuntimeError:  # of any kind: the store answers no more
                self._end("torchrun, or the process that holds the group's store, is gone")

    def stop(self) -> None:
        """From here on nobody's silence matters, and this one is silent."""
        self._stopped.set()
        if self.is_alive():
            self.join()

    def fail(self, why: str) -> None:
        """Tell all others, who end as soon as they hear."""
        with suppress(RuntimeError):
            self._store.compare_set(_FAILED, "", why)

    def cause(self, wait_s: float) -> str | None:
        """What a process told before it failed, where one does within this time."""
        until = time.monotonic() + wait_s
        with suppress(RuntimeError):
            while time.monotonic() < until:
                if why := self._said(_FAILED):
                    return why
                time.sleep(_BEAT_S / 5)
        return None

    def _beat(self) -> None:
        self._beats += 1
        self._store.set(f"beat/{self._launch.rank}", str(self._beats))
        if why := self._said(_FAILED):
            self._leave(why, tell=self._launch.rank == 0)
        if os.getppid() != self._launch.parent:
            self._end("torchrun is gone")
        for rank in self._heard:
            self._listen(rank)

    def _listen(self, rank: int) -> None:
        pid = self._pid_here(rank)
        if pid is not None and not _exists(pid):
            self._end(f"process {rank} (pid {pid}) was killed, or ended by itself")
        now = time.monotonic()
        beat = self._said(f"beat/{rank}")
        if beat != self._heard[rank][0]:
            self._heard[rank] = (beat, now)
        elif now - self._heard[rank][1] > self._silence_s:
            if pid is not None:  # it may be stopped, and then would outlive everybody
                with suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            self._end(f"process {rank} gave no sign of life for {self._silence_s:g} s")

    def _pid_here(self, rank: int) -> int | None:
        if rank not in self._local and (told := self._said(f"who/{rank}")):
            who = json.loads(told)
            if who["where"] == whereabouts():
                self._local[rank] = who["pid"]
        return self._local.get(rank)

    def _said(self, key: str) -> str:
        return str(self._store.get(key), "utf-8") if self._store.check([key]) else ""

    def _end(self, why: str) -> None:
        self.fail(why)
        self._leave(why, tell=True)

    def _leave(self, why: str, tell: bool) -> None:
        if self._stopped.is_set():
            return
        if tell:  # by its number, since torch's excepthook puts another in place of sys.stderr
            os.write(2, f"Error: {why}: all processes end. {GO_ON}\n".encode())
        os._exit(1)  # the main thread may be in a call that never returns


GO_ON = "The last checkpoint is whole: the same command goes on from it"


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
