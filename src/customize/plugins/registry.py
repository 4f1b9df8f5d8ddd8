"""Finding and loading plugins, each apart from the others. Knows no particular plugin.

Plugins are found by distribution, not by pluggy's own loader, which keys on the entry point's
name and silently drops the second ``plugin = …``. One that fails is a row with its error, and an
exception only when something it provides is used.
"""

from __future__ import annotations

import difflib
import functools
import os
from collections.abc import Mapping
from importlib import import_module, metadata
from typing import Any

import attrs
import pluggy

from customize._errors import PluginError, UnknownName
from customize.plugins import hooks
from customize.plugins.specs import KINDS, Spec

GROUP = "customize"


@attrs.frozen
class PluginRow:
    """One distribution: what it provides, as ``kind:name``, and what is wrong with it."""

    distribution: str
    version: str
    provides: tuple[str, ...]
    error: str | None


@attrs.frozen
class _Offer:
    distribution: str
    spec: Spec

    @property
    def full_name(self) -> str:
        return f"{self.distribution}:{self.spec.name}"


@attrs.frozen
class _Found:
    rows: tuple[PluginRow, ...]
    offers: tuple[_Offer, ...]


def listing() -> list[PluginRow]:
    """Every installed plugin, broken ones too."""
    return list(_find(os.environ.get("CUSTOMIZE_PLUGINS")).rows)


def specs(kind: str) -> Mapping[str, Spec]:
    """What is provided, by name; by full name where two provide the same."""
    offers = _offers(kind)
    counts = [o.spec.name for o in offers]
    return {o.spec.name if counts.count(o.spec.name) == 1 else o.full_name: o.spec for o in offers}


def names(kind: str) -> list[str]:
    """The names of a kind, sorted."""
    return sorted(specs(kind))


def full_name(kind: str, name: str) -> str:
    """``distribution:name``, which says whose it is.

    Raises:
        UnknownName: nobody provides it, or more than one does.
    """
    return _choose(kind, name).full_name


def load(kind: str, name: str) -> Any:  # whatever the target is; callers know by kind
    """Import and return what stands behind ``name`` or ``distribution:name``.

    Raises:
        UnknownName: nobody provides it, or more than one does.
        PluginError: it is listed, but its code cannot be imported.
    """
    offer = _choose(kind, name)
    module, _, attribute = offer.spec.target.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except Exception as error:
        raise PluginError(
            f"the {kind} {offer.full_name!r} cannot be loaded: {type(error).__name__}: {error}"
        ) from error


def _offers(kind: str) -> list[_Offer]:
    if kind not in KINDS:
        raise UnknownName(f"no kind {kind!r}: the kinds are {', '.join(sorted(KINDS))}")
    found = _find(os.environ.get("CUSTOMIZE_PLUGINS"))
    return [o for o in found.offers if o.spec.kind == kind]


def _choose(kind: str, name: str) -> _Offer:
    offers = _offers(kind)
    matching = [o for o in offers if name in (o.spec.name, o.full_name)]
    if len(matching) == 1:
        return matching[0]
    if matching:
        both = " or ".join(repr(o.full_name) for o in matching)
        raise UnknownName(f"{len(matching)} plugins provide the {kind} {name!r}: use {both}")
    raise UnknownName(_nobody(kind, name, sorted(o.spec.name for o in offers)))


def _nobody(kind: str, name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    meant = f"; did you mean {near[0]!r}?" if near else ""
    broken = [row for row in listing() if row.error]
    faults = "".join(f"\n  broken: {row.distribution}: {row.error}" for row in broken)
    have = ", ".join(known) or "none is installed"
    return f"no plugin provides the {kind} {name!r}{meant} ({kind}s: {have}){faults}"


@functools.cache
def _find(limit: str | None) -> _Found:
    rows, offers = [], []
    for distribution in _distributions():
        name = distribution.metadata["Name"]
        if not _allowed(name, limit):
            continue
        mine, errors = _ask(distribution)
        offers += [_Offer(name, spec) for spec in mine]
        provides = tuple(f"{spec.kind}:{spec.name}" for spec in mine)
        rows.append(PluginRow(name, distribution.version, provides, "; ".join(errors) or None))
    return _Found(tuple(rows), tuple(offers))


def _distributions() -> list[metadata.Distribution]:
    """Those with an entry point of ours, once each: the first on the path wins, as imports do."""
    first: dict[str, metadata.Distribution] = {}
    for distribution in metadata.distributions():
        if any(e.group == GROUP for e in distribution.entry_points):
            first.setdefault(distribution.metadata["Name"], distribution)
    return [first[name] for name in sorted(first)]


def _allowed(name: str, limit: str | None) -> bool:
    if limit is None:
        return True
    wanted = [part.strip() for part in limit.split(",") if part.strip()]
    if wanted and all(part.startswith("-") for part in wanted):
        return f"-{name}" not in wanted
    return name in wanted


def _ask(distribution: metadata.Distribution) -> tuple[list[Spec], list[str]]:
    found: list[Spec] = []
    errors: list[str] = []
    for entry in distribution.entry_points:
        if entry.group != GROUP:
            continue
        try:
            plugin = entry.load()
        except Exception as error:
            errors.append(f"{entry.value} cannot be imported: {type(error).__name__}: {error}")
            continue
        _ask_hooks(plugin, found, errors)
    return found, errors


def asked(plugin: object) -> tuple[list[Spec], list[str]]:
    """The specs that one plugin's hooks yield, and what is wrong with it."""
    found: list[Spec] = []
    errors: list[str] = []
    _ask_hooks(plugin, found, errors)
    return found, errors


def _ask_hooks(plugin: object, found: list[Spec], errors: list[str]) -> None:
    manager = pluggy.PluginManager(hooks.PROJECT)
    manager.add_hookspecs(hooks)
    try:
        manager.register(plugin)
        manager.check_pending()
    except Exception as error:
        errors.append(str(error))
    for kind, spec_type in KINDS.items():
        caller = getattr(manager.hook, f"customize_{kind}s")
        for implementation in caller.get_hookimpls():
            _collect(implementation.function, spec_type, found, errors)


def _collect(
    function: Any,  # a hook implementation, whatever it is
    spec_type: type[Spec],
    found: list[Spec],
    errors: list[str],
) -> None:
    # A generator hook fails when it is iterated, so the loop is inside.
    try:
        for spec in function():
            if not isinstance(spec, spec_type):
                raise PluginError(f"{function.__name__} gave {spec!r}, not {spec_type.__name__}")
            found.append(spec)
    except Exception as error:
        errors.append(f"{function.__name__}: {type(error).__name__}: {error}")
