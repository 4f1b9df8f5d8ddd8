"""What races have in common: a process for each contestant, and figures from what it reports."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def run(script: str, asked: dict[str, Any]) -> dict[str, Any]:
    """What a contestant says of itself: seconds, size and loss of each step, and peak memory."""
    done = subprocess.run(
        [sys.executable, str(HERE / "contestants" / script), json.dumps(asked)],
        env={**os.environ, "BENCHMARK_START": str(time.time()), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{script} failed:\n{done.stderr[-3000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def apart(ours: dict[str, Any], theirs: dict[str, Any]) -> float:
    """The largest relative difference of the losses, step by step."""
    pairs = zip(ours["steps"], theirs["steps"], strict=True)
    return max(float(abs(a["loss"] - b["loss"]) / abs(b["loss"])) for a, b in pairs)


def versions(
    names: Sequence[str] = ("torch", "transformers", "peft", "trl"),
) -> dict[str, str]:
    """What the figures depend on."""
    names = ("torch", "transformers", "peft", "trl")
    found = {name: version(name) for name in names}
    return {**found, "python": platform.python_version(), "cores": str(os.cpu_count())}


def asked_works(known: list[str]) -> list[str]:
    """The works named on the command line, or all."""
    unknown = set(sys.argv[1:]) - set(known)
    if unknown:
        raise SystemExit(f"unknown work {sorted(unknown)}; there are {known}")
    return sys.argv[1:] or known
