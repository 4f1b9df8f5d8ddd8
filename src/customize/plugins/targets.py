"""Whether a target's module exists, without importing anything, so that listing stays cheap."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec


def missing_module(target: str) -> str | None:
    """The first module on the way to ``package.module:Name`` that does not exist, or None."""
    parts = target.partition(":")[0].split(".")
    path: Sequence[str] | None = None
    for depth in range(1, len(parts) + 1):
        name = ".".join(parts[:depth])
        found = _find(name, path)
        if found is None or (depth < len(parts) and found.submodule_search_locations is None):
            return name if found is None else ".".join(parts[: depth + 1])
        path = found.submodule_search_locations
    return None


def _find(name: str, path: Sequence[str] | None) -> ModuleSpec | None:
    """As ``importlib.util.find_spec``, which would import the packages above ``name``."""
    for finder in sys.meta_path:
        find = getattr(finder, "find_spec", None)
        if find is not None and (found := find(name, path)) is not None:
            spec: ModuleSpec = found
            return spec
    return None
