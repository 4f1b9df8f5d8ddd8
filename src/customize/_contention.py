"""How busy other programs keep this machine, where the system tells: what a speed is worth."""

from __future__ import annotations

import os
import time


class Contention:
    """What other processes do from here on."""

    def __init__(self) -> None:
        self._since = time.perf_counter()
        self._own = time.process_time()
        self._all = _busy_s()

    def cores(self) -> float | None:
        """Cores that others kept busy meanwhile, on average; None where that is not known."""
        everyone = _busy_s()
        if everyone is None or self._all is None:
            return None
        others = (everyone - self._all) - (time.process_time() - self._own)
        return max(0.0, others / (time.perf_counter() - self._since))


def _busy_s() -> float | None:
    """Seconds that all cores together have worked, or were taken away, since the start."""
    try:
        with open("/proc/stat", "rb") as file:
            user, nice, system, _, _, *interrupts = map(int, file.readline().split()[1:9])
        return float(user + nice + system + sum(interrupts)) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError):
        return None
