"""Every backend held to the same small computation. Knows no particular one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from customize._errors import CustomizeError, UnknownName
from customize.doctor.computing import Computed, computed
from customize.doctor.finding import Finding
from customize.plugins import load, specs
from customize.plugins.specs import BackendSpec

# The most that a log-probability may be off, in nats: rounding of the type it was computed in.
_ALLOWED = {"float32": 1e-4, "float64": 1e-4}
_ALLOWED_ROUNDED = 0.2
EXACT = ("cpu", {"dtype": "float32"})


def backends(only: Sequence[str] = ()) -> Iterator[Finding]:
    """One for each that is installed, the exact one first: the others are compared with it.

    only: names of those to compute with; without any, all but those that begin or reach others.
    """
    found = specs("backend")
    names = only or sorted(found, key=lambda name: (name != EXACT[0], name))
    exact = _exact() if EXACT[0] in found else None
    if not names:
        yield Finding("backends", "warning", "none is installed", "pip install customize[cpu]")
    for name in names:
        spec = found.get(name)
        if not only and isinstance(spec, BackendSpec) and spec.elsewhere:
            yield _left_alone(name)
        else:
            yield _examined(name, exact)


def _left_alone(name: str) -> Finding:
    told = "not tried: it would begin or reach other processes or machines"
    return Finding(f"backend {name}", "absent", told, f"customize doctor --backend {name}")


def _exact() -> Computed | None:
    try:
        return computed(*EXACT)
    except CustomizeError:
        return None  # told when that backend itself is examined


def _examined(name: str, exact: Computed | None) -> Finding:
    what = f"backend {name}"
    try:
        reason = load("backend", name)().probe()
        if reason is not None:
            return Finding(what, "absent", f"cannot run here: {reason}")
        found = computed(name)
    except UnknownName as error:
        return Finding(
            what, "fault", str(error), "customize plugins, which lists what is installed"
        )
    except CustomizeError as error:
        fix = f"python -m customize.doctor.computing {name}, which shows where it was raised"
        return Finding(what, "fault", str(error), fix)
    if wrong := _wrong(found, exact):
        fix = f"python -m customize.testing backend {name}, which says which rule is broken"
        return Finding(what, "fault", wrong, fix)
    return Finding(what, "ok", "; ".join(_told(found, exact)))


def _wrong(found: Computed, exact: Computed | None) -> str:
    if not all(math.isfinite(x) for x in (*found.logprobs, *found.losses)):
        return "its numbers are not finite"
    if exact is not None and not _apart(found, exact) <= _allowed(found.numerics):
        return f"a log-probability is {_apart(found, exact):.2g} nats off that of float32"
    if found.losses and not found.losses[1] < found.losses[0]:
        return f"a step does not lower the loss: {found.losses[0]:.4f} to {found.losses[1]:.4f}"
    return ""


def _told(found: Computed, exact: Computed | None) -> Iterator[str]:
    if exact is not None:
        yield f"{_apart(found, exact):.0e} nats from the processor in float32"
    if found.losses:
        yield "a step lowers the loss"
    for some in (found.numerics, found.hardware):
        if some:
            yield ", ".join(f"{key} {value}" for key, value in some.items())
    yield f"{found.seconds:.1f} s"


def _apart(found: Computed, exact: Computed) -> float:
    return max(abs(a - b) for a, b in zip(found.logprobs, exact.logprobs, strict=True))


def _allowed(numerics: Mapping[str, str | int]) -> float:
    return _ALLOWED.get(str(numerics.get("dtype", "float32")), _ALLOWED_ROUNDED)
