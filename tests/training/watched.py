"""A folder whose every change is told before it happens, so that it can be made to fail there.

``Watch`` stands between Python and the system: it counts, raises in place of a call, and knows what
a power cut would leave: names and contents as they were last synced.
"""

from __future__ import annotations

import builtins
import io
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import safetensors.numpy

Key = tuple[int, int]


class Died(BaseException):
    """As a kill: no handler of ours stops it."""


class Watch:
    """``log``: what was done, as (call, path from the root). ``before`` is told of each call."""

    def __init__(self, root: Path, before: Callable[[int], None] = lambda number: None) -> None:
        self.root = root
        self.log: list[tuple[str, str]] = []
        self._before = before
        self._paths: dict[int, str] = {}
        self._contents: dict[Key, bytes] = {}
        self._names: dict[Key, dict[str, Key]] = {}
        self._held: dict[Key, int] = {}

    @contextmanager
    def watching(self) -> Iterator[Watch]:
        with pytest.MonkeyPatch.context() as patch:
            for name in ("rename", "replace", "mkdir", "unlink", "rmdir"):
                patch.setattr(os, name, self._told(name, getattr(os, name)))
            patch.setattr(os, "open", self._noting(os.open))
            patch.setattr(os, "fsync", self._syncing(os.fsync))
            patch.setattr(shutil, "rmtree", _rmtree)
            opening = self._opening(io.open)
            patch.setattr(io, "open", opening)
            patch.setattr(builtins, "open", opening)
            saving = self._saving(safetensors.numpy.save_file)
            patch.setattr(safetensors.numpy, "save_file", saving)
            try:
                yield self
            finally:
                patch.undo()
                for descriptor in self._held.values():
                    os.close(descriptor)

    def after_a_power_cut(self, to: Path, names_survive: bool) -> None:
        """Write to ``to`` what would be there: of what is not synced, nothing or only the names."""
        self._write_folder(self.root, _key(self.root), to, names_survive)

    def _write_folder(self, now: Path | None, key: Key, to: Path, names_survive: bool) -> None:
        to.mkdir()
        names = dict(self._names.get(key, {}))
        if names_survive and now is not None:
            names = {entry.name: _key(entry) for entry in now.iterdir()}
        for name, child in names.items():
            inside = now / name if now is not None and (now / name).exists() else None
            if child in self._names or (inside is not None and inside.is_dir()):
                self._write_folder(inside, child, to / name, names_survive)
            else:
                (to / name).write_bytes(self._contents.get(child, b""))

    def _tell(self, call: str, path: Any) -> bool:  # what os takes for a path
        text = os.fspath(path) if not isinstance(path, int) else ""
        if not text.startswith(str(self.root)):
            return False
        self._before(len(self.log))
        self.log.append((call, os.path.relpath(text, self.root)))
        return True

    def _told(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Any, *args: Any, **kwargs: Any) -> Any:
            self._tell(name, path)
            return real(path, *args, **kwargs)

        return call

    def _noting(self, real: Callable[..., int]) -> Callable[..., int]:
        def call(path: Any, *args: Any, **kwargs: Any) -> int:
            descriptor = real(path, *args, **kwargs)
            self._paths[descriptor] = os.fspath(path)
            return descriptor

        return call

    def _syncing(self, real: Callable[[int], None]) -> Callable[[int], None]:
        def call(descriptor: int) -> None:
            path = self._path_of(descriptor)
            told = path is not None and self._tell("fsync", path)
            real(descriptor)
            if path is not None and told:
                self._note_synced(Path(path))

        return call

    def _path_of(self, descriptor: int) -> str | None:
        """A number is given anew once it is closed, and rows are rendered in another thread."""
        path = self._paths.get(descriptor)
        if path is None or not os.path.exists(path):
            return None
        return path if os.path.samestat(os.fstat(descriptor), os.stat(path)) else None

    def _note_synced(self, path: Path) -> None:
        if path.is_dir():
            self._names[self._hold(path)] = {e.name: self._hold(e) for e in path.iterdir()}
        else:
            self._contents[self._hold(path)] = path.read_bytes()

    def _hold(self, path: Path) -> Key:
        """Kept open, so that the number is not given to another file."""
        key = _key(path)
        if key not in self._held:
            self._held[key] = os.open(path, os.O_RDONLY)
        return key

    def _opening(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
            writes = any(letter in mode for letter in "wax")
            if writes and self._tell("open", file):
                return _Stream(real(file, mode, *args, **kwargs), lambda: self._tell("write", file))
            return real(file, mode, *args, **kwargs)

        return call

    def _saving(self, real: Callable[..., None]) -> Callable[..., None]:
        def call(tensors: Any, filename: Any, *args: Any, **kwargs: Any) -> None:
            self._tell("save", filename)
            real(tensors, filename, *args, **kwargs)

        return call


class _Stream:
    """A file open for writing that tells before each write."""

    def __init__(self, stream: Any, before: Callable[[], object]) -> None:
        self._stream = stream
        self._before = before

    def write(self, content: Any) -> Any:
        self._before()
        return self._stream.write(content)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __enter__(self) -> _Stream:
        return self

    def __exit__(self, *error: object) -> None:
        self._stream.close()


def _rmtree(path: Any, ignore_errors: bool = False) -> None:
    """shutil's goes by descriptors; here each removal is a call with a path."""
    try:
        for entry in sorted(Path(path).iterdir()):
            if entry.is_dir():
                _rmtree(entry, ignore_errors)
            else:
                os.unlink(entry)
        os.rmdir(path)
    except OSError:
        if not ignore_errors:
            raise


def _key(path: Path) -> Key:
    known = path.stat()
    return known.st_dev, known.st_ino


def dying_at(number: int) -> Callable[[int], None]:
    """At that call, and at all after it, for a dead process does nothing more."""

    def before(now: int) -> None:
        if now >= number:
            raise Died

    return before
