"""A package loaded to answer, by the exporter that is installed for its format.

What a package says of itself never names code: its format is looked up among the plugins.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import MappingProxyType

from customize._errors import CustomizeError, ExportError, ModelError, UnknownName
from customize.interfaces.exporter import Exporter
from customize.interfaces.runtime import Runtime
from customize.models import resolve
from customize.packaging.manifest import Manifest, check_small
from customize.plugins import load


def open_package(
    folder: str | Path,
    adapters: Mapping[str, Path] = MappingProxyType({}),
    base: str | Path | None = None,
) -> Runtime:
    """Load a package with its installed runtime; warns of one that was kept though it answers
    otherwise than its run.

    Args:
        adapters: packages of other customizations of the same base, by the names to ask for.
        base: where the base is, for a package that holds an adapter alone, if not under the name
            it was trained by.

    Raises:
        ExportError: it is no package, cannot be loaded, or another package is of another base.
        UnknownName: no plugin is installed for its format.
        ModelError: the base is not the one the adapter was made for.
    """
    manifest = read_sound(Path(folder))
    for name, other in adapters.items():
        manifest.check_beside(read_sound(other), name)
    opened, below = runtime_of(manifest), base_of(manifest, base)
    try:
        runtime = opened.open(Path(folder), dict(adapters), below)
    except CustomizeError:
        raise
    except Exception as error:  # whatever a plugin's runtime raises
        raise ExportError(
            f"{folder} cannot be loaded by {manifest.format} ({type(error).__name__}: {error}). "
            f"Whether it is what was written is told by customize verify {folder}"
        ) from error
    if adapters and not set(runtime.adapters) - adapters.keys():
        runtime.close()
        raise ExportError(f"{folder} holds no adapter apart: open each package by itself")
    return runtime


def read_sound(folder: Path) -> Manifest:
    """A package's manifest, after a look at its files that takes no time; warns where the package
    was kept though it answers otherwise than its run.

    Raises:
        ExportError: it is no package, or not as it was written.
    """
    manifest = Manifest.read(folder)
    check_small(folder, manifest)
    _warn_of(manifest)
    return manifest


def _warn_of(manifest: Manifest) -> None:
    if manifest.parity.get("verdict") == "failed":
        fault = manifest.parity["fault"]
        warnings.warn(
            f"{manifest.name} answers otherwise than the run it was made from, and was kept all "
            f"the same: prompt {fault['prompt']!r}: {fault['told']}",
            stacklevel=3,
        )


def runtime_of(manifest: Manifest) -> type[Runtime]:
    """The runtime of the package's format.

    Raises:
        UnknownName: no plugin is installed for it.
    """
    exporter: type[Exporter] = load("exporter", manifest.format)
    module, _, name = exporter.runtime.partition(":")
    found: type[Runtime] = getattr(import_module(module), name)
    return found


def base_of(manifest: Manifest, given: str | Path | None = None) -> Path | None:
    """The folder of the base that the package's adapter was made for; None where it needs none.

    Raises:
        ModelError: what was found is another model.
        UnknownName: nothing was found; give where it is.
    """
    if not manifest.needs_base:
        return None
    known = manifest.base
    try:
        model = resolve(given or known["name"], None if given else known["revision"])
    except UnknownName as error:
        raise UnknownName(
            f"the base of {manifest.name} is not found: give where it is, base='FOLDER' (--base "
            f"FOLDER of customize serve and verify). {error}"
        ) from error
    if model.fingerprint != known["fingerprint"]:
        raise ModelError(
            f"{manifest.name} was trained on another base than {model.path}: give the one it was "
            f"made from, {known['name']} with the fingerprint {known['fingerprint'][:12]}…"
        )
    return model.path
