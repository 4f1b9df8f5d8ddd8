"""All that the doctor looks at, in the order it is told, and as JSON for a bug report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs

from customize.doctor.backends import backends
from customize.doctor.finding import Finding
from customize.doctor.machine import machine
from customize.doctor.private import without_private
from customize.doctor.versions import faults, installed
from customize.plugins import listing

SCHEMA = "customize-doctor/1"


def examine(only: Sequence[str] = ()) -> Iterator[Finding]:
    """Findings as they are made: the machine, versions, plugins, backends, or ``only`` some."""
    yield from machine()
    yield from faults(installed())
    yield from _plugins()
    yield from backends(only)


def as_json(findings: Sequence[Finding], home: Path | None = None) -> dict[str, Any]:
    """JSON values that may be shown to anyone: no host, no user, no path of theirs."""
    home = Path.home() if home is None else home
    return {
        "schema": SCHEMA,
        "versions": dict(installed()),
        "findings": [attrs.asdict(_without(finding, home)) for finding in findings],
    }


def _without(finding: Finding, home: Path) -> Finding:
    told, fix = (without_private(text, home) for text in (finding.told, finding.fix))
    return attrs.evolve(finding, told=told, fix=fix)


def _plugins() -> Iterator[Finding]:
    broken = [
        (row.distribution, fault)
        for row in listing()
        for fault in row.faults
        if fault.severity == "error"
    ]
    if not broken:
        yield Finding("plugins", "ok", f"{len(listing())} installed, none broken")
    for distribution, fault in broken:
        yield Finding("plugins", "fault", f"{distribution}: {fault.message}", fault.fix)
