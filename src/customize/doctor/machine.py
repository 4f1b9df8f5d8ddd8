"""The machine by its operating system: processor, memory, disk. Computes nothing."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path

from customize._control_groups import processors
from customize._memory import free_bytes
from customize.doctor.finding import Finding
from customize.models.cache import cache_root

_LITTLE_MEMORY = 3e9  # bytes; SmolLM2 trains in two and a half
_LITTLE_DISK = 3e9


def machine(root: Path = Path("/")) -> Iterator[Finding]:
    """Findings about what everything else stands on. ``root``: where the system's files are."""
    told = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    yield Finding("python", "ok", told)
    yield _processor(root)
    yield _memory(root)
    yield _disk()


def _processor(root: Path) -> Finding:
    cores = os.cpu_count() or 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores
    quota = processors(root)
    threads = os.environ.get("OMP_NUM_THREADS")
    told = f"{cores} cores, {usable} of which may be used"
    if threads:
        told += f"; OMP_NUM_THREADS={threads}"
    if quota is None or quota >= usable or threads:
        return Finding("processor", "ok", told)
    fix = f"set OMP_NUM_THREADS={max(1, int(quota))}: more threads than that wait for one another"
    return Finding("processor", "warning", f"{told}; a quota allows {quota:g}", fix)


def _memory(root: Path) -> Finding:
    free = free_bytes(root)
    if free is None:
        return Finding("memory", "ok", "this system does not say how much is free")
    told = f"{free / 1e9:.1f} GB free"
    if free >= _LITTLE_MEMORY:
        return Finding("memory", "ok", told)
    return Finding("memory", "warning", told, "training even a small model takes about 3 GB")


def _disk() -> Finding:
    cache = cache_root()
    there = next(folder for folder in (cache, *cache.parents) if folder.exists())
    if not os.access(there, os.W_OK):
        fix = "set CUSTOMIZE_CACHE to a folder that you may write to"
        return Finding("disk", "fault", "the cache of models cannot be written", fix)
    free = shutil.disk_usage(there).free
    told = f"{free / 1e9:.0f} GB free where models are kept"
    if free >= _LITTLE_DISK:
        return Finding("disk", "ok", told)
    return Finding("disk", "warning", told, "make room: a model of 1B takes 2 GB, a run half of it")
