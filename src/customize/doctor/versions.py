"""Versions of what is installed, and those with a fault that is known. Imports none of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import metadata

import attrs

from customize.doctor.finding import Finding

LOOKED_AT = ("customize", "numpy", "torch", "transformers", "peft", "tokenizers", "safetensors")


@attrs.frozen
class Known:
    """A fault of the versions that ``affected`` names."""

    distribution: str
    affected: str
    what: str
    fix: str


KNOWN = (
    Known(
        "torch",
        "<2.10",
        "loading a checkpoint of a stranger can run its code (CVE-2026-24747)",
        "pip install 'torch>=2.10'",
    ),
    Known(
        "transformers",
        "<5.3",
        "a stranger's config.json can run code (CVE-2026-4372)",
        "pip install 'transformers>=5.3'",
    ),
    Known(
        "ray",
        "<2.54",
        "a page in a browser can delete its jobs (CVE-2026-27482)",
        "pip install 'ray>=2.54'",
    ),
)


def installed() -> Mapping[str, str]:
    """By name, of all that matters here; what is not installed is left out."""
    names = {*LOOKED_AT, *(known.distribution for known in KNOWN)}
    found = {name: version for name in sorted(names) if (version := _version(name)) is not None}
    ours = {d.name: d.version for d in metadata.distributions() if _is_ours(d.name)}
    return {**found, **dict(sorted(ours.items()))}


def faults(versions: Mapping[str, str]) -> Iterator[Finding]:
    """One for each known fault of an installed version, or one that says there is none."""
    from packaging.specifiers import SpecifierSet

    found = [
        known
        for known in KNOWN
        if known.distribution in versions
        and SpecifierSet(known.affected).contains(versions[known.distribution], prereleases=True)
    ]
    if not found:
        yield Finding("versions", "ok", "none with a fault that is known here")
    for known in found:
        told = f"{known.distribution} {versions[known.distribution]}: {known.what}"
        yield Finding("versions", "fault", told, known.fix)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _is_ours(name: str | None) -> bool:
    return name is not None and name.lower().replace("_", "-").startswith("customize-")
