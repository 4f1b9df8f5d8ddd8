"""Memory of this process, where the system tells. Knows nothing of a device's own."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def peak_bytes() -> int | None:
    """The most that was ever resident."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def resident_bytes() -> int | None:
    """What is resident now."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None


def free_bytes(root: Path = Path("/")) -> float | None:
    """What a process may still take: of the machine, or of its control group where that is less."""
    free = [
        float(line.split()[1]) * 1024
        for line in text_of(root / "proc/meminfo").splitlines()
        if line.startswith("MemAvailable:")
    ]
    limit, used = (text_of(root / f"sys/fs/cgroup/memory.{name}") for name in ("max", "current"))
    if limit.isdigit() and used.isdigit():
        free.append(float(limit) - float(used))
    return min(free, default=None)


def text_of(file: Path) -> str:
    """What the system says there; nothing where it does not."""
    try:
        return file.read_text("utf-8").strip()
    except OSError:
        return ""
