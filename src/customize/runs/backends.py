"""Which backend a run takes, and why. Knows no particular one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Any

import attrs

from customize._errors import BackendError, OptionError, Unsupported
from customize._live_line import say
from customize._options import options_to_dict
from customize._structuring import Faults, structure
from customize.interfaces.backend import Backend
from customize.plugins import load, specs
from customize.plugins.specs import BackendSpec

_TOGETHER = "torchrun"  # the backend that several processes are together


def choose_backend(
    backend: str | Backend, options: Mapping[str, object] = MappingProxyType({})
) -> Backend:
    """An instance as it is, a name's backend with its options, or the best that can run here.

    Of several processes that torchrun started only the one that runs the method returns.

    Raises:
        UnknownName: nobody provides it.
        OptionError: the backend has no such options, or none is named that could have them.
        Unsupported: it cannot run here; the message says why. Or torchrun started several
            processes, and it computes in one.
    """
    chosen = _chosen(backend, options)
    _refuse_each_by_itself(chosen)
    chosen.follow()
    return chosen


def named(
    backend: str, options: Mapping[str, object] = MappingProxyType({})
) -> tuple[Backend, str | None]:
    """The backend of this name with its options, and why it cannot run here, or None.

    Raises:
        UnknownName: nobody provides it.
        OptionError: the backend has no such options.
    """
    chosen = _made(backend, options)
    return chosen, chosen.probe()


def _chosen(backend: str | Backend, options: Mapping[str, object]) -> Backend:
    if isinstance(backend, Backend):
        return backend
    if backend != "auto":
        chosen, reason = named(backend, options)
        if reason is not None:
            raise Unsupported(f"the backend {backend!r} cannot run here: {reason}")
        return chosen
    if options:
        raise OptionError(
            f"options are one backend's own (got {', '.join(options)}): name the backend in place "
            "of 'auto'"
        )
    return _best()


def _refuse_each_by_itself(chosen: Backend) -> None:
    """Several processes that do not follow one would each begin the whole work."""
    world = os.environ.get("WORLD_SIZE", "1")
    if "TORCHELASTIC_RUN_ID" not in os.environ or world == "1":
        return
    if type(chosen).follow is not Backend.follow:
        return
    fix = f"set backend=torchrun and on={chosen.name} among its options"
    if _TOGETHER not in specs("backend"):
        fix = f'pip install "customize[{_TOGETHER}]", and {fix}'
    raise Unsupported(
        f"torchrun started {world} processes, and with the backend {chosen.name!r} each would "
        f"begin the whole: {fix}, or begin the command without torchrun"
    )


def _best() -> Backend:
    reasons = []
    for name in _by_priority():
        candidate = _made(name)
        reason = candidate.probe()
        if reason is None and (reason := _refusal(candidate)) is not None:
            say(f"{name} is left out: {reason}")
        if reason is None:
            return candidate
        reasons.append(f"{name}: {reason}")
    told = reasons or ["none is installed: pip install customize[cpu]"]
    raise Unsupported("no backend can run here:" + "".join(f"\n  {text}" for text in told))


def _refusal(backend: Backend) -> str | None:
    """Why it cannot settle here, which a probe does not see; None where it can, or where several
    processes do so together later.
    """
    if type(backend).follow is not Backend.follow:
        return None
    try:
        backend.settled({})
    except BackendError as error:
        return str(error)
    return None


def exact(backend: Backend) -> Backend:
    """The backend in float32, where it lets one choose."""
    if not attrs.has(type(backend)):
        return backend
    options = dict(options_to_dict(backend))
    return _with(backend, {**options, "dtype": "float32"}) if "dtype" in options else backend


def _with(backend: Backend, options: Mapping[str, Any]) -> Backend:
    return type(backend)(**options)


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
            with suppress(BackendError):  # what a probe does not see
                made.append(candidate.settled({}))
    return made


def _by_priority() -> list[str]:
    found = specs("backend")

    def priority(name: str) -> tuple[int, str]:
        spec = found[name]
        return (-spec.priority if isinstance(spec, BackendSpec) else 0, name)

    return sorted(found, key=priority)


def _made(name: str, options: Mapping[str, object] = MappingProxyType({})) -> Backend:
    kind: type[Backend] = load("backend", name)
    if not options:
        return kind()
    faults = Faults()
    made = structure(kind, options, faults)
    faults.raise_if_any(f"the options of the backend {name!r}")
    assert made is not None
    return made


def quiet_libraries() -> None:
    """No progress bars of others among ours."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
