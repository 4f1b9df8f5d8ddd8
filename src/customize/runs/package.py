"""A package with the face of a run: its own runtime answers, whatever the format."""

from __future__ import annotations

import hashlib
import os
from functools import cached_property
from pathlib import Path
from typing import NoReturn

from customize._errors import Unsupported
from customize._options import option, options
from customize.interfaces.backend import Backend
from customize.interfaces.model import ModelFolder
from customize.interfaces.session import Snapshot
from customize.packaging.manifest import MANIFEST
from customize.packaging.opening import open_package
from customize.packaging.snapshot import RuntimeSnapshot
from customize.runs.assistant import packaged_assistant
from customize.runs.run import Run


@options
class _Packaged(Backend):
    """Says which package it is that answers; loads nothing."""

    name = "package"
    fingerprint: str = option(help="sha256 of package.json, and so of every file.")

    def probe(self) -> str | None:
        return None

    def capabilities(self) -> frozenset[str]:
        return frozenset({"sample", "base", "distributions"})

    def load(self, model: ModelFolder) -> NoReturn:
        raise Unsupported("a package is asked by its own runtime, and cannot be trained")


class PackagedRun(Run):
    """A loaded package. Where it holds the base apart, base and customized answer from it."""

    def __init__(self, folder: Path, base: str | os.PathLike[str] | None) -> None:
        digest = hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
        self.runtime = open_package(folder, base=None if base is None else os.fspath(base))
        is_apart = bool(self.runtime.adapters)
        super().__init__(
            None, None, _Packaged(fingerprint=digest), adapter=folder if is_apart else None
        )
        self._folder = folder

    @cached_property
    def customized(self) -> Snapshot:
        """The package's own answers."""
        adapters = self.runtime.adapters
        return RuntimeSnapshot(self.runtime, adapters[0] if adapters else None)

    @cached_property
    def _whole(self) -> Snapshot:
        return RuntimeSnapshot(self.runtime, None)

    @property
    def _merged(self) -> Path | None:
        return None if self.runtime.adapters else self._folder

    @property
    def context(self) -> int | None:
        return self.runtime.context

    @property
    def assistant_folder(self) -> Path | None:
        return packaged_assistant(self._folder)

    def __repr__(self) -> str:
        return f"Run({str(self._folder)!r})"
