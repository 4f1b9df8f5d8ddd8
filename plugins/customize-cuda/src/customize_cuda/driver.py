"""Whether an NVIDIA driver and a device are there, by files alone. Knows no torch."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Mapping
from pathlib import Path

_LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
_NONE = ("", "-1", "none")


def reason_against(
    root: Path = Path("/"),
    environment: Mapping[str, str] = os.environ,
    library: str = _LIBRARY,
) -> str | None:
    """Why no device can be used, or None. Initializes nothing: that is done once, by torch."""
    hidden = environment.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None and hidden.strip().lower() in _NONE:
        return f"CUDA_VISIBLE_DEVICES={hidden!r} hides every GPU: unset it"
    try:
        ctypes.CDLL(library)
    except OSError:
        return f"no NVIDIA driver: {library} cannot be loaded"
    if sys.platform != "win32" and not _has_device(root):
        return (
            "the NVIDIA driver is installed, but there is no device (/dev/nvidia0): in a "
            "container, start it with its GPUs (docker run --gpus all)"
        )
    return None


def _has_device(root: Path) -> bool:
    """A device file, or the one that stands for it under Windows' Linux."""
    named = (path.name.removeprefix("nvidia") for path in root.glob("dev/nvidia*"))
    return any(name.isdigit() for name in named) or (root / "dev/dxg").exists()
