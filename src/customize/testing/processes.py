"""Python code in a process of its own, on the same path. Knows no rule."""

from __future__ import annotations

import os
import subprocess
import sys


def in_process_of_its_own(code: str) -> subprocess.CompletedProcess[str]:
    """Run ``code`` and wait; what it prints is text."""
    path = os.pathsep.join(part for part in sys.path if part)
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
