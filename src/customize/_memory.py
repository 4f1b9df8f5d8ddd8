"""Memory of this process, where the system tells. Knows nothing of a device's own."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from customize._control_groups import room_bytes, text_of


def peak_bytes() -> int | None:
    """The most that was resident since the process began, or since ``forget_peak``."""
    for line in text_of(Path("/proc/self/status")).splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:
        return None
    # On Linux this counts from the process that started this one; elsewhere it is all there is.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def forget_peak() -> bool:
    """Let the peak count from what is resident now; False where the system does not allow it."""
    try:
        Path("/proc/self/clear_refs").write_text("5", "ascii")
    except OSError:
        return False
    return True


def process_peak() -> int | None:
    """The most that this process held since it last asked; since it began where the system does
    not forget.
    """
    peak = peak_bytes()
    forget_peak()
    return peak


def resident_bytes() -> int | None:
    """What is resident now."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None


def free_bytes(root: Path = Path("/")) -> float | None:
    """What a process may still take: of the machine, or of its control groups where that is
    less."""
    free = [
        float(line.split()[1]) * 1024
        for line in text_of(root / "proc/meminfo").splitlines()
        if line.startswith("MemAvailable:")
    ]
    room = room_bytes(root)
    return min([*free, *([] if room is None else [room])], default=None)
