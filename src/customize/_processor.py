"""The processor's own name. Knows nothing of how fast it is."""

from __future__ import annotations

import platform
from pathlib import Path


def processor() -> str:
    """As the system tells it; where it does not, the kind of machine."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())
