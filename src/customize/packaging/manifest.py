"""package.json: what a package is and what is in it. Knows no format, and runs nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs

from customize._errors import ExportError

MANIFEST = "package.json"
SIGNATURE = "model.sig"
SCHEMA = 1


def _ints(values: Iterable[int]) -> tuple[int, ...]:
    return tuple(values)


@attrs.frozen(kw_only=True)
class Manifest:
    """package.json's values.

    format: the exporter's full name, which says who can load it. precision: how weights are kept.
    name: what the customization is called. needs_base: it holds an adapter alone.
    base: name, fingerprint and revision. weights: fingerprint of what was trained: an adapter, or
    all weights where is_adapter is not true. stop_tokens: ids at which every answer ends.
    parity: verdict, limits and figures of the gate, and what was measured of its speed.
    run: what `customize reproduce` goes by. files: sha256 by path.
    """

    format: str
    precision: str
    name: str
    needs_base: bool
    base: Mapping[str, Any]
    weights: str
    is_adapter: bool
    stop_tokens: tuple[int, ...] = attrs.field(converter=_ints)
    options: Mapping[str, Any]
    parity: Mapping[str, Any]
    how_to_run: Mapping[str, str]
    run: Mapping[str, Any]
    files: Mapping[str, str]
    schema: int = SCHEMA

    def write(self, folder: Path) -> None:
        """Write it into the package."""
        text = json.dumps(attrs.asdict(self), ensure_ascii=False, indent=1)
        (folder / MANIFEST).write_text(text + "\n", "utf-8")

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """That of a package.

        Raises:
            ExportError: there is none, it is damaged, or of a later version.
        """
        file = folder / MANIFEST
        if not file.is_file():
            raise ExportError(f"{folder} is no package: it has no {MANIFEST}")
        try:
            told = json.loads(file.read_text("utf-8"))
            if told["schema"] != SCHEMA:
                raise ExportError(
                    f"{file} has the schema {told['schema']}, and this version of customize reads "
                    f"{SCHEMA}: use the version that wrote it, or export the run again"
                )
            return cls(**told)
        except (ValueError, KeyError, TypeError) as error:
            raise ExportError(f"{file} is damaged: {error}") from error


def hashes_of(folder: Path) -> dict[str, str]:
    """sha256 of every file but the manifest and a signature, by its path from the folder.

    Raises:
        ExportError: there is something other than plain files and folders.
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise ExportError(f"{path} is no plain file: a package holds nothing else")
        if path.is_file() and name not in (MANIFEST, SIGNATURE):
            with path.open("rb") as stream:
                found[name] = hashlib.file_digest(stream, "sha256").hexdigest()
    return found


def damage(folder: Path, manifest: Manifest) -> str | None:
    """What differs from what the manifest says of the files, naming the first, or None."""
    there = hashes_of(folder)
    for name, digest in manifest.files.items():
        if name not in there:
            return f"{name} is missing"
        if there[name] != digest:
            return f"{name} was changed"
    extra = sorted(there.keys() - manifest.files.keys())
    return f"{extra[0]} was added" if extra else None
