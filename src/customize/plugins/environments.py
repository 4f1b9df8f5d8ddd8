"""Environments that plugins offer, by a name with options, and their rows. Plays none."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import attrs

from customize._errors import OptionError, PluginError
from customize.interfaces.environment import Environment
from customize.plugins.references import split
from customize.plugins.registry import find, kinds_of, load_offer
from customize.plugins.specs import EnvironmentSpec


def is_offered(reference: str) -> bool:
    """Whether it is the name of an environment that a plugin offers, or can be nothing else."""
    return ":" not in reference or "environment" in kinds_of(reference)


def offered_environment(reference: str) -> Environment:
    """The environment that a plugin offers, without options yet.

    Raises:
        UnknownName: nobody offers it, or more than one does.
        PluginError: its code cannot be imported, or is no environment.
    """
    offer = find("environment", reference)
    assert isinstance(offer.spec, EnvironmentSpec)
    return environment_of(offer.spec, partial(load_offer, offer))


def environment_of(spec: EnvironmentSpec, load: Callable[[str], Any]) -> Environment:
    """What a spec says, put together; ``load`` gives what stands behind an import string."""
    found = load(spec.target)
    options = None if spec.options is None else load(spec.options)
    data = None if spec.data is None else load(spec.data)
    try:
        if not isinstance(found, Environment):
            return Environment(found, spec.name, isolate=spec.isolate, options=options, data=data)
        isolate = spec.isolate or found.isolate
        parameters = found.parameters if options is None else {}
        return attrs.evolve(
            found, isolate=isolate, options=options, data=data, parameters=parameters
        )
    except OptionError as error:
        raise PluginError(f"the environment {spec.name!r} is none: {error}") from error


def rows_of(text: str) -> Any:  # a path, rows or a Dataset: whatever the plugin gives
    """The rows that an offered environment comes with, ``text`` being as in ``gsm8k:level=3``.

    Raises:
        OptionError: it comes with none, or an option is wrong.
        UnknownName: nobody offers it.
        PluginError: its code fails.
    """
    reference, given = split(text)
    environment = offered_environment(reference).with_parameters(given)
    try:
        rows = environment.rows()
    except OptionError:
        raise
    except Exception as error:  # a plugin's code
        told = f"{type(error).__name__}: {error}"
        raise PluginError(f"the rows of the environment {reference!r} fail: {told}") from error
    return Path(rows) if isinstance(rows, str) else rows
