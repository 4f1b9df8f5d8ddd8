"""Serving runs, packages and models: which runtime answers under which name. Knows no protocol."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from customize._errors import OptionError
from customize.interfaces.backend import Backend
from customize.runs.run import Run, open
from customize.serving.menu import Offer

_NAMED = re.compile(r"(?P<name>[\w.-]+)=(?P<source>.+)")


def offers_of(sources: Sequence[str], backend: str | Backend | None = None) -> list[Offer]:
    """What to serve for ``SOURCE`` or ``NAME=SOURCE``; customizations of one base share it.

    Raises:
        CustomizeError: one cannot be opened, or its backend cannot serve.
    """
    runs = {name: open(source, backend=backend) for name, source in named(sources).items()}
    by_base: dict[object, dict[str, Run]] = {}
    for name, run in runs.items():
        by_base.setdefault(_base_of(run), {})[name] = run
    return [offer for together in by_base.values() for offer in _together(together)]


def named(sources: Sequence[str]) -> Mapping[str, str]:
    """Sources by the name they were given, or else their last part.

    Raises:
        OptionError: two have one name.
    """
    found: dict[str, str] = {}
    for text in sources:
        given = None if Path(text).exists() else _NAMED.fullmatch(text)
        name, source = given.groups() if given else (Path(text).name, text)
        if name in found:
            raise OptionError(f"two of what is served would be {name!r}: name one, NAME=SOURCE")
        found[name] = source
    return found


def token_from(variable: str) -> str:
    """The token in an environment variable.

    Raises:
        OptionError: there is none.
    """
    if not (token := os.environ.get(variable)):
        raise OptionError(f"the environment variable {variable} holds no token: export one")
    return token


def _base_of(run: Run) -> object:
    return run.model.fingerprint if run.model else None, run.backend


def _together(runs: Mapping[str, Run]) -> list[Offer]:
    """Runs of one base, on one engine."""
    weights = {name: folder for name, run in runs.items() if (folder := run.weights) is not None}
    engine = next(iter(runs.values())).engine
    runtime = engine.runtime(weights)
    return [Offer(name, runtime, name if name in weights else None) for name in runs]
