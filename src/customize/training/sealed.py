"""Sealed folders: whole, or told from whole. Knows nothing of what is in them.

Order of writing, beside the final name: files, their sync, the manifest and its sync, the sync of
the folders, rename, sync of the folder around it. So a kill or a power cut leaves the old folder,
the new one or none, and never a mixture.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from customize._files import sync, sync_all

MANIFEST = "MANIFEST.json"
SCHEMA = 1


def write(final: Path, fill: Callable[[Path], None], facts: Mapping[str, Any]) -> None:
    """Make the folder ``final``, in place of one that is there; ``fill`` writes its files.

    Raises:
        OSError, SafetensorError: it could not be written.
    """
    beside = final.with_name(f".{final.name}.writing")
    shutil.rmtree(beside, ignore_errors=True)
    try:
        beside.mkdir()
        fill(beside)
        _seal(beside, facts)
        if final.exists():
            shutil.rmtree(final)
        beside.rename(final)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    sync(final.parent)


def damage(folder: Path) -> str | None:
    """What is wrong with the folder's files, naming the first, or None."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
        files = manifest["files"]
        sealed = manifest.pop("sha256")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return f"{MANIFEST} is missing or unreadable"
    if _digest(manifest) != sealed:
        return f"{MANIFEST} was changed"
    for name, facts in files.items():
        fault = _file_damage(folder / name, facts)
        if fault:
            return f"{name} {fault}"
    extra = sorted(files_in(folder).keys() - files.keys() - {MANIFEST})
    return f"{extra[0]} is not in {MANIFEST}" if extra else None


def facts_of(folder: Path) -> dict[str, Any]:
    """What ``write`` was told of a whole folder."""
    manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
    facts: dict[str, Any] = manifest["facts"]
    return facts


def files_in(folder: Path) -> dict[str, Path]:
    """Every file, by its path from the folder."""
    return {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}


def _seal(folder: Path, facts: Mapping[str, Any]) -> None:
    sync_all(folder)
    files = {
        name: {"size": file.stat().st_size, "sha256": _sha256(file)}
        for name, file in sorted(files_in(folder).items())
    }
    manifest: dict[str, Any] = {"schema": SCHEMA, "facts": dict(facts), "files": files}
    manifest["sha256"] = _digest(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1), "utf-8")
    sync(folder / MANIFEST)
    sync(folder)


def _file_damage(file: Path, facts: Mapping[str, Any]) -> str | None:
    if not file.is_file():
        return "is missing"
    if file.stat().st_size != facts["size"]:
        return f"has {file.stat().st_size} bytes, not {facts['size']}"
    return None if _sha256(file) == facts["sha256"] else "was changed"


def _digest(manifest: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
