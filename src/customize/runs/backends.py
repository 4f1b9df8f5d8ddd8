"""Which backend a run takes, and why. Knows no particular one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import MappingProxyType

from customize._errors import Unsupported
from customize.interfaces.backend import Backend
from customize.plugins import load, specs
from customize.plugins.specs import BackendSpec


def choose_backend(
    backend: str | Backend, options: Mapping[str, object] = MappingProxyType({})
) -> Backend:
    """An instance as it is, a name's backend with its options, or the best that can run here.

    Of several processes that torchrun started only the one that runs the method returns.

    Raises:
        UnknownName: nobody provides it.
        Unsupported: it cannot run here; the message says why.
    """
    chosen = _chosen(backend, options)
    chosen.follow()
    return chosen


def _chosen(backend: str | Backend, options: Mapping[str, object]) -> Backend:
    if isinstance(backend, Backend):
        return backend
    if backend != "auto":
        chosen = _made(backend, options)
        reason = chosen.probe()
        if reason is not None:
            raise Unsupported(f"the backend {backend!r} cannot run here: {reason}")
        return chosen
    return _best()


def _best() -> Backend:
    reasons = []
    for name in _by_priority():
        candidate = _made(name)
        reason = candidate.probe()
        if reason is None:
            return candidate
        reasons.append(f"{name}: {reason}")
    told = reasons or ["none is installed: pip install customize[cpu]"]
    raise Unsupported("no backend can run here:" + "".join(f"\n  {text}" for text in told))


def others_at_hand(chosen: str) -> list[Backend]:
    """The backends that can run here beside the one of this name, settled: those that ``auto`` may
    take.
    """
    found = specs("backend")
    made = []
    for name in _by_priority():
        spec = found[name]
        if name == chosen or not isinstance(spec, BackendSpec) or spec.priority < 0:
            continue
        candidate = _made(name)
        if candidate.probe() is None:
            made.append(candidate.settled({}))
    return made


def _by_priority() -> list[str]:
    found = specs("backend")

    def priority(name: str) -> tuple[int, str]:
        spec = found[name]
        return (-spec.priority if isinstance(spec, BackendSpec) else 0, name)

    return sorted(found, key=priority)


def _made(name: str, options: Mapping[str, object] = MappingProxyType({})) -> Backend:
    made: Backend = load("backend", name)(**options)
    return made


def quiet_libraries() -> None:
    """No progress bars of others among ours."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
