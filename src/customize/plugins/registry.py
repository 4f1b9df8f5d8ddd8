"""What is installed, by kind and name, and loading it. Knows no particular plugin.

Plugins are found by distribution, not by pluggy's own loader, which keys on the entry point's
name and silently drops the second ``plugin = …``. One that fails is a row with its faults, and an
exception only when something it provides is used.
"""

from __future__ import annotations

import copy
import difflib
import functools
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

import attrs

from customize._errors import MissingDependency, PluginError, UnknownName
from customize.plugins import built_in
from customize.plugins.asking import Answer, ask, ask_for_run
from customize.plugins.distributions import Installed, installed, normalized
from customize.plugins.faults import HIDING, Fault, told
from customize.plugins.limits import VARIABLE, parse_limit
from customize.plugins.requirements import unmet
from customize.plugins.specs import KINDS, Spec, plural
from customize.plugins.targets import missing_module

if TYPE_CHECKING:
    from customize.interfaces.observer import ObservedRun


@attrs.frozen
class PluginRow:
    """One distribution: what it provides, and what is wrong with it.

    milliseconds: what listing it took.
    """

    distribution: str
    version: str
    home_page: str | None
    specs: tuple[Spec, ...]
    faults: tuple[Fault, ...]
    milliseconds: float

    @property
    def provides(self) -> tuple[str, ...]:
        """``kind:name`` of each spec."""
        return tuple(f"{spec.kind}:{spec.name}" for spec in self.specs)

    @property
    def error(self) -> str | None:
        """The faults that are errors, in one text, or None."""
        return "\n".join(str(f) for f in self.faults if f.severity == "error") or None


@attrs.frozen
class Offer:
    """One thing that one plugin provides."""

    plugin: Installed
    spec: Spec

    @property
    def full_name(self) -> str:
        """``distribution:name``, which no other plugin has."""
        return f"{self.plugin.name}:{self.spec.name}"


@attrs.frozen
class _Found:
    """What was asked, and whom ``CUSTOMIZE_PLUGINS`` left out."""

    answers: tuple[tuple[Installed, Answer], ...]
    left_out: tuple[str, ...]


def listing() -> list[PluginRow]:
    """Every installed plugin that ``CUSTOMIZE_PLUGINS`` allows, broken ones too."""
    return [_row(plugin, answer) for plugin, answer in _found().answers]


def left_out() -> list[str]:
    """Installed plugins that ``CUSTOMIZE_PLUGINS`` does not allow."""
    return list(_found().left_out)


def specs(kind: str) -> Mapping[str, Spec]:
    """What is provided, by name; by full name where two provide the same."""
    offers = _offers(kind)
    counts = [o.spec.name for o in offers]
    return {o.spec.name if counts.count(o.spec.name) == 1 else o.full_name: o.spec for o in offers}


def names(kind: str) -> list[str]:
    """The names of a kind, sorted."""
    return sorted(specs(kind))


def find(kind: str, name: str) -> Offer:
    """The plugin that provides ``name`` or ``distribution:name``, and as what. Loads nothing.

    Raises:
        UnknownName: none provides it, or more than one does, customize itself among them.
        PluginError: the distribution that is named is broken.
    """
    matching = _matching(kind, name)
    own = [f"{built_in.DISTRIBUTION}:{name}"] if built_in.target_of(kind, name) else []
    full_names = [*own, *(offer.full_name for offer in matching)]
    if matching and len(full_names) > 1:
        each = " or ".join(map(repr, full_names))
        told = f"{len(full_names)} distributions provide the {kind} {name!r}"
        raise UnknownName(f"{told}: use {each}")
    if not matching:
        raise _nobody(kind, name)
    return matching[0]


def name_of(kind: str, target: str) -> str | None:
    """The full name under which an import string is provided, ``customize:name`` where it is our
    own; None where nobody provides it."""
    for name, own in built_in.BUILT_IN.get(kind, {}).items():
        if own == target:
            return f"{built_in.DISTRIBUTION}:{name}"
    return next((o.full_name for o in _offers(kind) if o.spec.target == target), None)


def kinds_of(name: str) -> list[str]:
    """The kinds in which somebody provides ``name`` or ``distribution:name``."""
    return [kind for kind in KINDS if _matching(kind, name)]


def load(kind: str, name: str) -> Any:  # whatever the target is; callers know by kind
    """Import and return what stands behind ``name`` or ``distribution:name``.

    What is customize's own has a full name too, ``customize:name``.

    Raises:
        UnknownName: nobody provides it, or more than one does.
        PluginError: it is listed, but its code cannot be imported.
        MissingDependency: that, and a package that it requires is missing or of another version.
    """
    own = built_in.target_of(kind, name)
    if own is not None and not _matching(kind, name):
        module, _, attribute = own.partition(":")
        return getattr(import_module(module), attribute)
    return load_offer(find(kind, name))


def load_offer(offer: Offer, target: str | None = None) -> Any:  # as load
    """What stands behind an offer, or behind another import string of it; raises as ``load``."""
    module, _, attribute = (target or offer.spec.target).partition(":")
    needs = list(unmet(offer.plugin))
    try:
        found = getattr(import_module(module), attribute)
    except (Exception, SystemExit) as error:
        message = f"the {offer.spec.kind} {offer.full_name!r} cannot be loaded: {told(error)}"
        if needs:
            raise MissingDependency("\n  ".join([message, *map(str, needs)])) from error
        raise PluginError(message) from error
    for need in needs:
        warnings.warn(f"{offer.plugin.name} {offer.plugin.version}: {need}", stacklevel=2)
    return found


def observers_for(run: ObservedRun) -> tuple[list[Offer], list[str]]:
    """What each plugin's ``customize_observers`` gives for a run, and what went wrong there.

    Each is given a copy of ``run``: none sees what another does to it.
    """
    offers, wrong = [], []
    for plugin, answer in _found().answers:
        given = ask_for_run(plugin, answer.observing, copy.deepcopy(run))
        offers += [Offer(plugin, spec) for spec in given.specs]
        faults = [fault for fault in given.faults if fault.severity == "error"]
        wrong += [f"{plugin.name} {plugin.version}: {fault}" for fault in faults]
    return offers, wrong


def _offers(kind: str) -> list[Offer]:
    if kind not in KINDS:
        raise UnknownName(f"no kind {kind!r}: the kinds are {', '.join(sorted(KINDS))}")
    return [
        Offer(plugin, spec)
        for plugin, answer in _found().answers
        for spec in answer.specs
        if spec.kind == kind
    ]


def _matching(kind: str, name: str) -> list[Offer]:
    distribution, _, short = name.rpartition(":")
    full_name = f"{normalized(distribution)}:{short}"
    return [o for o in _offers(kind) if name == o.spec.name or full_name == o.full_name]


def _nobody(kind: str, name: str) -> PluginError:
    ours = built_in.BUILT_IN.get(kind, {})
    known = sorted({*ours, *(o.spec.name for o in _offers(kind))})
    near = difflib.get_close_matches(name, known, n=1)
    meant = f"; did you mean {near[0]!r}?" if near else ""
    have = ", ".join(known) or "none is installed"
    who = "nobody" if ours else "no plugin"
    message = f"{who} provides the {kind} {name!r}{meant} ({plural(kind)}: {have})"
    if without := left_out():
        message += f"\n  left out by {VARIABLE}: {', '.join(without)}"
    broken = [row for row in listing() if row.error]
    own = [row for row in broken if row.distribution == normalized(name.rpartition(":")[0])]
    broken = [row for row in broken if any(fault.code in HIDING for fault in row.faults)]
    message += "".join(f"\n  broken: {r.distribution} {r.version}: {r.error}" for r in own)
    if broken and not own:
        named = ", ".join(f"{row.distribution} {row.version}" for row in broken)
        message += f"\n  broken, and may provide it: {named} (customize plugins says why)"
    error = PluginError(message) if own else UnknownName(message)
    # The exception itself, where it is clear whose: of the plugin named, or of the only one broken.
    suspects = own or (broken if len(broken) == 1 else [])
    error.__cause__ = next((f.cause for row in suspects for f in row.faults if f.cause), None)
    return error


def _found() -> _Found:
    return _find(os.environ.get(VARIABLE))


@functools.cache
def _find(text: str | None) -> _Found:
    limit, plugins = parse_limit(text), installed()
    for complaint in limit.complaints([plugin.name for plugin in plugins]):
        warnings.warn(complaint, stacklevel=2)
    return _Found(
        tuple((plugin, ask(plugin)) for plugin in plugins if limit.allows(plugin.name)),
        tuple(plugin.name for plugin in plugins if not limit.allows(plugin.name)),
    )


def _row(plugin: Installed, answer: Answer) -> PluginRow:
    needs = list(unmet(plugin))
    # What a target lacks is told once: by the requirement, where there is one.
    missing = [] if needs else _missing_targets(plugin, answer.specs)
    return PluginRow(
        plugin.name,
        plugin.version,
        plugin.home_page,
        tuple(answer.specs),
        (*answer.faults, *needs, *missing, *_ambiguous(plugin, answer.specs)),
        answer.milliseconds,
    )


def _missing_targets(plugin: Installed, specs: Iterable[Spec]) -> Iterator[Fault]:
    for spec in specs:
        for target in spec.targets:
            if (missing := missing_module(target)) is not None:
                message = f"the {spec.kind} {spec.name!r} is {target}, and there is no {missing}"
                yield Fault("target", message, f"pip install --force-reinstall {plugin.name}")


def _ambiguous(plugin: Installed, specs: Iterable[Spec]) -> Iterator[Fault]:
    for spec in specs:
        same = [o.plugin for o in _offers(spec.kind) if o.spec.name == spec.name]
        others = [other.name for other in same if other != plugin]
        if built_in.target_of(spec.kind, spec.name):
            others.insert(0, built_in.DISTRIBUTION)
        if others:
            message = f"the {spec.kind} {spec.name!r} is also provided by {', '.join(others)}"
            yield Fault("ambiguous", message, f"use {Offer(plugin, spec).full_name!r}")
