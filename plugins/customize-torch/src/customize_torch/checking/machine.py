"""Which device and which versions; nothing that names a person or a place."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

_DISTRIBUTIONS = (
    "customize",
    "customize-torch",
    "transformers",
    "peft",
    "triton",
    "torchao",
    "numpy",
)


def told(backend: str) -> dict[str, Any]:
    """As JSON values."""
    properties = torch.cuda.get_device_properties(0)
    return {
        "backend": backend,
        "device": properties.name,
        "memory_gb": round(properties.total_memory / 1e9, 1),
        "capability": f"{properties.major}.{properties.minor}",
        "multiprocessors": properties.multi_processor_count,
        "bf16": torch.cuda.is_bf16_supported(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "hip": torch.version.hip,
        "python": platform.python_version(),
        "versions": {name: v for name in _DISTRIBUTIONS if (v := _version(name))},
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
