"""Which device and which versions; nothing that names a person or a place."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from customize_torch.gpu import GPU

_DISTRIBUTIONS = (
    "customize",
    "customize-torch",
    "transformers",
    "peft",
    "triton",
    "torchao",
    "bitsandbytes",
    "numpy",
)


def told(backend: type[GPU]) -> dict[str, Any]:
    """As JSON values."""
    hardware = backend().hardware()
    properties = torch.cuda.get_device_properties(0)
    return {
        "backend": backend.name,
        "device": properties.name,
        "memory_gb": round(properties.total_memory / 1e9, 1),
        "capability": f"{properties.major}.{properties.minor}",
        "multiprocessors": properties.multi_processor_count,
        "bf16": hardware["bf16"] == "yes",
        "fp8": hardware["fp8"] == "yes",
        "attention": hardware["attention"],
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
