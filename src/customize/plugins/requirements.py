"""What a plugin requires and the environment lacks, from metadata. Imports none of it."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata

from customize.plugins.distributions import Installed
from customize.plugins.faults import Fault


def unmet(plugin: Installed) -> Iterator[Fault]:
    """A fault for each requirement that is missing or has another version."""
    from packaging.requirements import InvalidRequirement, Requirement

    for line in plugin.requires:
        try:
            need = Requirement(line)
        except InvalidRequirement as error:
            message = f"its requirement {line!r} cannot be read: {str(error).splitlines()[0]}"
            yield Fault("requirement", message, "tell its authors", error)
            continue
        if need.marker is not None and not need.marker.evaluate({"extra": ""}):
            continue
        have = _version(need.name)
        if have is None or not need.specifier.contains(have, prereleases=True):
            wanted = f"{need.name}{need.specifier}"
            yield Fault("requirement", _message(wanted, have), _fix(plugin, need.name, wanted))


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _message(wanted: str, have: str | None) -> str:
    found = "which is not installed" if have is None else f"and {have} is installed"
    return f"it needs {wanted}, {found}"


def _fix(plugin: Installed, name: str, wanted: str) -> str:
    if name == "customize":  # the two are released together
        return f"pip install --upgrade {plugin.name}"
    return f"pip install '{wanted}'"
