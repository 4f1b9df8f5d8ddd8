"""Rules about what a plugin says it offers."""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from typing import Any

from customize.interfaces.backend import Backend
from customize.interfaces.exporter import Exporter
from customize.interfaces.index import Encoder, Index
from customize.interfaces.method import Method
from customize.interfaces.observer import Observer
from customize.interfaces.scorer import Scorer
from customize.plugins.specs import MethodSpec
from customize.testing.expecting import expect
from customize.testing.plugin_rules.subject import PluginSubject

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_SUMMARY_CHARACTERS = 100
_TYPES = {
    "method": Method,
    "backend": Backend,
    "exporter": Exporter,
    "observer": Observer,
    "index": Index,
    "encoder": Encoder,
}


def check_entry_point_is_there(subject: PluginSubject) -> None:
    """One installed distribution has an entry point in the group ``customize`` to this module."""
    found = subject.distributions
    expect(
        len(found) == 1,
        f"{len(found)} distributions have an entry point to {subject.module}: write it under "
        "[project.entry-points.customize] in pyproject.toml, and install that",
    )


def check_hooks_answer(subject: PluginSubject) -> None:
    """Every hook is one that customize knows, and yields well-formed specs to its end.

    No name is offered twice for a kind.
    """
    expect(not subject.faults, "; ".join(subject.faults))
    expect(bool(subject.specs), "offers nothing: mark hooks with @customize.hookimpl")


def check_observers_are_given_for_a_run(subject: PluginSubject) -> None:
    """Asked before a run, ``customize_observers`` yields well-formed specs to its end too."""
    expect(not subject.faults_before_a_run, "; ".join(subject.faults_before_a_run))


def check_names_are_well_formed(subject: PluginSubject) -> None:
    """Names are lower case words joined by dashes."""
    for spec in subject.specs:
        expect(bool(_NAME.fullmatch(spec.name)), f"the {spec.kind} {spec.name!r}")


def check_summaries_are_one_line(subject: PluginSubject) -> None:
    """A summary is a sentence on one line: at most 100 characters, ending in a full stop."""
    for spec in subject.specs:
        told = f"the summary of the {spec.kind} {spec.name}"
        length = len(spec.summary)
        expect(length <= _SUMMARY_CHARACTERS, f"{told} has {length} characters")
        expect(spec.summary.endswith("."), f"{told} does not end in a full stop")


def check_targets_import(subject: PluginSubject) -> None:
    """What every spec's ``target`` names can be imported, and what else a spec names."""
    for target in (target for spec in subject.specs for target in spec.targets):
        try:
            _imported(target)
        except Exception as error:  # whatever the plugin's code raises
            expect(False, f"{target}: {type(error).__name__}: {error}")


def check_targets_are_what_specs_say(subject: PluginSubject) -> None:
    """A target is of the kind's class, a scorer's also a function of (text, row); a method's
    ``data`` and ``needs``, a backend's ``name`` are those of its spec.
    """
    for spec in subject.specs:
        try:
            target = _imported(spec.target)
        except Exception:  # the rule before tells
            continue
        wanted = _TYPES.get(spec.kind)
        if wanted is not None:
            expect(_is_class(target, wanted), f"{spec.target} is no {wanted.__name__}")
        if spec.kind == "scorer":
            fits = _is_class(target, Scorer) or _takes_text_and_row(target)
            expect(fits, f"{spec.target} is neither a Scorer nor a function of (text, row)")
        if isinstance(spec, MethodSpec):
            expect(target.data == spec.data, f"{spec.name}: data is {target.data!r} there")
            expect(target.needs == spec.needs, f"{spec.name}: needs are {set(target.needs)} there")
        if spec.kind == "backend":
            expect(target.name == spec.name, f"{spec.name}: is named {target.name!r} there")


def _is_class(target: object, wanted: type) -> bool:
    return isinstance(target, type) and issubclass(target, wanted)


def _takes_text_and_row(target: Any) -> bool:
    if isinstance(target, type) or not callable(target):
        return False
    try:
        inspect.signature(target).bind("text", {})
    except TypeError:
        return False
    return True


def _imported(target: str) -> Any:  # whatever the string names
    module, _, attribute = target.partition(":")
    return getattr(import_module(module), attribute)
