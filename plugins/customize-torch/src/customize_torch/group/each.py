"""What each member computes on. Knows no order."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cache
from typing import Any

from customize import (
    Backend,
    BackendError,
    Engine,
    ModelFolder,
    UnknownName,
    Unsupported,
    choose_backend,
)

_log = logging.getLogger(__name__)
EACH = ("cuda", "rocm", "cpu")  # the best first
WITHOUT = frozenset({"full", "serve"})  # what a sharded base does not offer


def each_on(name: str, options: Mapping[str, Any]) -> Backend:
    """The backend of this name with its options; of ``auto`` the best that can run here.

    Raises:
        Unsupported: it cannot run here, or none can.
        OptionError: it has no such options.
    """
    if name != "auto":
        return choose_backend(name, options)
    for candidate in EACH:
        try:
            chosen = choose_backend(candidate)  # what cannot run here may not have these options
        except (UnknownName, Unsupported):
            continue
        if _is_usable(chosen):
            return choose_backend(candidate, options)
    raise Unsupported(f"none of {', '.join(EACH)} can run here: see customize doctor")


def loaded(each: Any, model: ModelFolder, within: str, shard: bool = False) -> Engine:
    """The base, or a piece of it, on any backend of this engine.

    within: the backend of many processes that it computes for.
    """
    if shard:
        from customize_torch.group.sharded import ShardedEngine

        return each.load_as(ShardedEngine, model, within)
    from customize_torch.engine import TorchEngine

    return each.load_as(TorchEngine, model, within)


@cache
def _is_usable(backend: Backend) -> bool:
    """Whether torch can use a device that is there; tells once why not."""
    if backend.name == EACH[-1]:
        return True
    try:
        backend.settled({})
    except BackendError as error:
        _log.warning("%s is left out: %s", backend.name, error)
        return False
    return True
