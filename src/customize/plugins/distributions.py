"""Installed distributions that are plugins, from their metadata alone. Imports none of them."""

from __future__ import annotations

import os
import re
import sys
from importlib import metadata

import attrs

from customize.plugins.faults import told

GROUP = "customize"


@attrs.frozen
class Installed:
    """One distribution with an entry point of ours.

    name: in lower case with dashes, so that it is written in one way.
    requires: lines as in its pyproject, ``torch>=2.10``.
    unreadable: why its metadata cannot be read, or None.
    """

    name: str
    version: str
    home_page: str | None = None
    requires: tuple[str, ...] = ()
    entries: tuple[metadata.EntryPoint, ...] = ()
    unreadable: str | None = None


def installed() -> list[Installed]:
    """Plugins by name, once each: the first on the path wins, as with imports."""
    first: dict[str, Installed] = {}
    for distribution in metadata.distributions(path=_search_path()):
        if (found := _read(distribution)) is not None:
            first.setdefault(found.name, found)
    return [first[name] for name in sorted(first)]


def normalized(name: str) -> str:
    """A distribution's name in the one spelling that we use: ``Acme_KTO`` is ``acme-kto``."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _search_path() -> list[str]:
    """Without the working directory, where ``python -m`` and ``-c`` look first."""
    return [p for i, p in enumerate(sys.path) if p and not (i == 0 and _is_here(p))]


def _is_here(path: str) -> bool:
    try:
        return os.path.samefile(path, os.curdir)
    except OSError:  # it does not exist
        return False


def _read(distribution: metadata.Distribution) -> Installed | None:
    try:
        entries = tuple(e for e in distribution.entry_points if e.group == GROUP)
    except Exception as error:  # a file of anybody's
        ours = f"[{GROUP}]" in _entry_text(distribution)
        return _described(distribution, (), told(error)) if ours else None
    return _described(distribution, entries) if entries else None


def _described(
    distribution: metadata.Distribution,
    entries: tuple[metadata.EntryPoint, ...],
    unreadable: str | None = None,
) -> Installed:
    try:
        about = distribution.metadata
        name, version = normalized(about["Name"]), str(about["Version"])
        requires = tuple(about.get_all("Requires-Dist") or ())
        return Installed(name, version, _home_page(about), requires, entries, unreadable)
    except Exception as error:  # what an interrupted uninstall leaves
        name = entries[0].value.partition(":")[0].partition(".")[0] if entries else "unnamed"
        why = unreadable or told(error)
        return Installed(normalized(name), "unknown", entries=entries, unreadable=why)


def _entry_text(distribution: metadata.Distribution) -> str:
    try:
        return distribution.read_text("entry_points.txt") or ""
    except (OSError, UnicodeError):
        return ""


def _home_page(about: metadata.PackageMetadata) -> str | None:
    """The URL called home page, else the first there is."""
    urls = [line.partition(",") for line in about.get_all("Project-URL") or ()]
    ranked = sorted(urls, key=lambda url: normalized(url[0].replace(" ", "")) != "homepage")
    return ranked[0][2].strip() if ranked else about["Home-page"]
