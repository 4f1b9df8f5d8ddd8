"""Serving runs, packages and models: which runtime answers under which name. Knows no protocol."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Hashable, Mapping, Sequence, Set
from pathlib import Path
from typing import TypeVar

from customize._errors import OptionError
from customize.data.rendering.folder import ChatFolder
from customize.interfaces.backend import Backend
from customize.interfaces.index import Encoder
from customize.interfaces.runtime import Runtime
from customize.packaging.manifest import MANIFEST, Manifest
from customize.packaging.opening import open_package
from customize.retrieval.library import Library
from customize.runs.assistant import (
    is_asked_for_encoder,
    library_in,
    library_of,
    packaged_assistant,
)
from customize.runs.opening import has_own_runtime, open
from customize.runs.run import Run
from customize.serving.menu import Offer

T = TypeVar("T")
_NAMED = re.compile(r"(?P<name>[\w.-]+)=(?P<source>.+)")


def offers_of(
    sources: Sequence[str],
    backend: str | Backend | None = None,
    encoder: Encoder | str | None = None,
    base: str | Path | None = None,
) -> list[Offer]:
    """What to serve for ``SOURCE`` or ``NAME=SOURCE``; customizations of one base share it.

    ``backend`` answers for runs and models; a package has its own runtime. ``encoder`` is of the
    vectors of packages' indexes, where they have some. ``base`` is where the base of packages that
    hold an adapter alone lies, if not under the name it was trained by.

    Raises:
        CustomizeError: one cannot be opened, or its backend cannot serve.
        OptionError: an encoder that none of them has vectors of, or a base that none needs.
    """
    given = _named(sources)
    alone = {name for name, source in given.items() if _is_adapter_alone(Path(source))}
    if base is not None and not alone:
        raise OptionError(
            "base is for packages that hold an adapter alone, and none here does: leave it out"
        )
    packages = {name: Path(s) for name, s in given.items() if has_own_runtime(Path(s))}
    runs = {
        name: open(s, backend=backend, base=base if name in alone else None)
        for name, s in given.items()
        if name not in packages
    }
    kept = [packaged_assistant(folder) for folder in packages.values()]
    kept += [run.assistant_folder for run in runs.values()]
    if encoder is not None and not any(_for(one, encoder) for one in kept):
        raise OptionError(
            "encoder is for packages whose indexes have vectors, and none here has: leave it out"
        )
    offers = [
        *(
            offer
            for some in _grouped(packages, _package_base)
            for offer in _packages(some, encoder, base if alone.intersection(some) else None)
        ),
        *(offer for some in _grouped(runs, _run_base) for offer in _runs(some, encoder)),
    ]
    return sorted(offers, key=lambda offer: [*given].index(offer.name))


def token_from(variable: str) -> str:
    """The token in an environment variable.

    Raises:
        OptionError: there is none.
    """
    if not (token := os.environ.get(variable)):
        raise OptionError(f"the environment variable {variable} holds no token: export one")
    return token


def askers_from(given: Sequence[str]) -> Mapping[str, Set[str]]:
    """Tags by token, of ``VARIABLE=TAG,TAG``.

    Raises:
        OptionError: one reads otherwise, its variable holds no token, or another's token.
    """
    askers: dict[str, Set[str]] = {}
    variables: dict[str, str] = {}
    for text in given:
        variable, sign, tags = text.partition("=")
        named = frozenset(filter(None, tags.split(",")))
        if not sign or not named:
            raise OptionError(f"an asker reads VARIABLE=TAG,TAG (got {text!r})")
        token = token_from(variable)
        if token in askers:
            raise OptionError(
                f"the environment variables {variables[token]} and {variable} hold one token, and "
                "its tags would be only those of one: give each asker a token of its own"
            )
        askers[token], variables[token] = named, variable
    return askers


def _named(sources: Sequence[str]) -> Mapping[str, str]:
    """Sources by the name they were given, or else their last part."""
    found: dict[str, str] = {}
    for text in sources:
        given = None if Path(text).exists() else _NAMED.fullmatch(text)
        name, source = given.groups() if given else (Path(text).name, text)
        if name in found:
            raise OptionError(f"two of what is served would be {name!r}: name one, NAME=SOURCE")
        found[name] = source
    return found


def _grouped(
    given: Mapping[str, T], base_of: Callable[[str, T], Hashable]
) -> list[Mapping[str, T]]:
    """What has one base, together."""
    groups: dict[Hashable, dict[str, T]] = {}
    for name, one in given.items():
        groups.setdefault(base_of(name, one), {})[name] = one
    return list(groups.values())


def _package_base(name: str, folder: Path) -> Hashable:
    """What its runtime is made from: an adapter is all that those who share one may differ in.

    A package of merged or whole weights is alone.
    """
    manifest = Manifest.read(folder)
    weights = manifest.format, manifest.precision, manifest.base["fingerprint"]
    chat = manifest.run.get("chat"), frozenset(manifest.stop_tokens)
    return (*weights, *chat, manifest.options.get("context")) if manifest.shares_base else name


def _is_adapter_alone(folder: Path) -> bool:
    return (folder / MANIFEST).is_file() and Manifest.read(folder).needs_base


def _packages(
    folders: Mapping[str, Path], encoder: Encoder | str | None, base: str | Path | None
) -> list[Offer]:
    """Packages of one base, in the runtime of the first."""
    (name, first), *others = folders.items()
    beside = {f"adapter-{i}": folder for i, (_, folder) in enumerate(others, start=2)}
    runtime = open_package(first, beside, base)
    names = {name: next(iter(runtime.adapters), None)}
    names |= {other: known for (other, _), known in zip(others, beside, strict=True)}
    return [
        Offer(one, runtime, adapter, _packaged_library(folders[one], runtime, encoder))
        for one, adapter in names.items()
    ]


def _packaged_library(
    folder: Path, runtime: Runtime, encoder: Encoder | str | None
) -> Library | None:
    kept = packaged_assistant(folder)
    if kept is None:
        return None
    return library_in(kept, runtime.renderer.fingerprint, encoder=_for(kept, encoder))


def _for(kept: Path | None, encoder: Encoder | str | None) -> Encoder | str | None:
    """The encoder for the packages whose vectors are some; a run says itself whose it has."""
    return encoder if kept is not None and is_asked_for_encoder(kept) else None


def _run_base(name: str, run: Run) -> Hashable:
    """A fingerprint says nothing of chat template and stop tokens, by which a runtime answers."""
    if run.model is None:
        return None, run.backend
    return run.model.fingerprint, ChatFolder.read(run.model.path).fingerprint, run.backend


def _runs(runs: Mapping[str, Run], encoder: Encoder | str | None) -> list[Offer]:
    """Runs of one base, on one engine."""
    weights = {name: folder for name, run in runs.items() if (folder := run.weights) is not None}
    runtime = next(iter(runs.values())).engine.runtime(weights)
    renderer = runtime.renderer.fingerprint
    return [
        Offer(
            name,
            runtime,
            name if name in weights else None,
            library_of(run, renderer, encoder=_for(run.assistant_folder, encoder))
            if run.has_assistant
            else None,
        )
        for name, run in runs.items()
    ]
