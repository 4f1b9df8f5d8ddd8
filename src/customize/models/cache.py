"""The user's cache: folders made once, and small facts remembered about files.

Safe when several processes do the same at once. Knows nothing of models.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from customize._errors import ModelError
from customize._files import sync, sync_all
from customize._processor import processor

_DAY_S = 24 * 3600
_FACT = re.compile(r"[0-9a-f]{64}")

Found = TypeVar("Found")


def cache_root(
    environ: Mapping[str, str] = os.environ, platform: str = sys.platform, home: Path | None = None
) -> Path:
    """Where the cache lies: CUSTOMIZE_CACHE, else the system's own place for caches.

    Raises:
        ModelError: there is no home folder and no variable that stands in for it.
    """
    if own := environ.get("CUSTOMIZE_CACHE"):
        return Path(own).expanduser().absolute()
    xdg = environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(xdg):  # the XDG specification says that relative ones be ignored
        return Path(xdg) / "customize"
    if platform == "win32" and environ.get("LOCALAPPDATA"):
        return Path(environ["LOCALAPPDATA"]) / "customize" / "cache"
    try:
        home = home or Path.home()
    except RuntimeError as error:
        raise ModelError(
            "there is no home folder to keep converted models in; set CUSTOMIZE_CACHE to a folder"
        ) from error
    return home / ("Library/Caches" if platform == "darwin" else ".cache") / "customize"


def check_writable() -> None:
    """Tell at once, and not after a model was loaded.

    Raises:
        ModelError: the cache cannot be written; the message says how to move it.
    """
    root = cache_root()
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=root):
            pass
    except OSError as error:
        raise _unwritable(root, error) from error


def made_once(kind: str, key: str, make: Callable[[Path], object]) -> Path:
    """The folder ``kind/key`` of the cache, made by ``make`` (which is given a new path) if new.

    It appears whole or not at all. Where two processes make it at once, the first one's stays.

    Raises:
        ModelError: the cache cannot be written; the message says how to move it.
    """
    folder = cache_root() / kind / key
    if folder.is_dir():
        return folder
    beside = folder.with_name(f".{key}.{secrets.token_hex(6)}")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _sweep(folder.parent)
        make(beside)
        sync_all(beside)
        _rename(beside, folder)
    except OSError as error:
        raise _unwritable(folder.parent, error) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return folder


def _unwritable(folder: Path, error: OSError) -> ModelError:
    return ModelError(
        f"the cache folder {folder} cannot be written ({error.strerror or error}); "
        "set CUSTOMIZE_CACHE to a folder with room that can"
    )


def remembered(fact: str, files: Iterable[Path], compute: Callable[[], str]) -> str:
    """A sha256 (hexadecimal) that depends on ``files`` alone, computed again if any changed.

    A file is taken as unchanged while its path, size and modification time are. Nothing is
    remembered where the cache cannot be written.
    """
    key = hashlib.sha256(fact.encode())
    for file in files:
        known = file.stat()
        key.update(f"\0{file.absolute()}\0{known.st_size}\0{known.st_mtime_ns}".encode())
    note = cache_root() / "facts" / key.hexdigest()
    try:
        value = note.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        value = ""
    if _FACT.fullmatch(value):
        return value
    value = compute()
    _note(note, value)
    return value


def known_here(fact: str, depends: Mapping[str, object], find: Callable[[], Found]) -> Found:
    """What ``find`` found out about this machine; it is asked again where processor or anything
    that the fact ``depends`` on is another.

    All of it is JSON. Nothing is remembered where the cache cannot be written.
    """
    key = json.dumps([fact, processor(), dict(depends)], sort_keys=True)
    note = cache_root() / "machine" / hashlib.sha256(key.encode()).hexdigest()
    try:
        known: Found = json.loads(note.read_text(encoding="ascii"))
    except (OSError, ValueError):
        known = find()
        _note(note, json.dumps(known))
    return known


def _note(note: Path, value: str) -> None:
    beside = note.with_name(f"{note.name}.{secrets.token_hex(6)}")
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(value, encoding="ascii")
        beside.replace(note)
    except OSError:
        with suppress(OSError):
            beside.unlink()


def _rename(beside: Path, folder: Path) -> None:
    try:
        beside.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
        return  # another process was first; the contents are the same
    sync(folder.parent)


def _sweep(parent: Path) -> None:
    """Remove what killed processes left a day or more ago."""
    for left in parent.glob(".*"):
        if left.is_dir() and time.time() - left.stat().st_mtime > _DAY_S:
            shutil.rmtree(left, ignore_errors=True)
