"""Whether an AMD driver and a device are there, by files and ``rocminfo``. Knows no torch."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

_HIDING = ("ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES")
_NODES = "sys/class/kfd/kfd/topology/nodes"
_TIMEOUT_S = 5


def reason_against(
    root: Path = Path("/"), environment: Mapping[str, str] = os.environ
) -> str | None:
    """Why no device can be used, or None."""
    for name in _HIDING:
        if environment.get(name, "0").strip() in ("", "-1"):
            return f"{name}={environment[name]!r} hides every GPU: unset it"
    if not (root / "sys/class/kfd").is_dir():
        return "no AMD driver: /sys/class/kfd is missing (is the kernel module amdgpu loaded?)"
    if not any(_is_gpu(node / "properties") for node in (root / _NODES).glob("*")):
        return f"the AMD driver is loaded but lists no GPU{_rocminfo()}"
    if not os.access(root / "dev/kfd", os.R_OK | os.W_OK):
        return "/dev/kfd cannot be opened: add yourself to the groups render and video"
    return None


def _is_gpu(properties: Path) -> bool:
    """A processor is a node too, without compute units."""
    try:
        lines = properties.read_text("utf-8").splitlines()
    except OSError:
        return False
    values = dict(line.split(maxsplit=1) for line in lines if " " in line)
    return values.get("simd_count", "0").strip() != "0"


def _rocminfo() -> str:
    """What AMD's own tool says of it, where it is installed."""
    tool = shutil.which("rocminfo")
    if tool is None:
        return ""
    try:
        told = subprocess.run([tool], capture_output=True, text=True, timeout=_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    lines = (told.stderr or told.stdout).strip().splitlines()
    return f" (rocminfo: {lines[0]})" if lines and told.returncode else ""
