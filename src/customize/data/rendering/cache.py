"""Rendered data sets: tokenised once, ahead of use, kept in memory-mapped files.

A folder per (data, renderer): tokens.i32 and weights.u8 one row after the other, offsets.i64, and
a manifest with sizes and hashes, written last. Rows are read from the growing files until all are
there, and from the map then: neither they nor their offsets are held in memory. Knows nothing of
models or training.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Protocol

import attrs
import numpy as np

from customize._batch import Longs
from customize._errors import DataError, RenderingError
from customize.interfaces.renderer import Rendered, Renderer

_FORMAT = 1
_FILES = ("tokens.i32", "weights.u8", "offsets.i64")
_TYPES = ("<i4", "|u1", "<i8")
_MANIFEST = "manifest.json"
_FLUSH_ROWS = 64


class Rows(Protocol):
    """Chat rows by number."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Mapping[str, Any]: ...


class RenderedRows(Sequence[Rendered]):
    """A data set's rows as tokens and weights.

    ``rows[i]`` waits until row i is rendered; a background thread works ahead. An error in a row
    is raised, with the row's line or number, when that row or one after it is asked for.
    """

    def __init__(self, rows: Rows, renderer: Renderer, cache_dir: str | Path) -> None:
        self._num_rows = len(rows)
        self._folder = Path(cache_dir) / _key(rows, renderer)
        self._changed = threading.Condition()
        self._num_done = 0
        self._growing: list[BinaryIO] = []
        self._whole: _Columns | None = None
        self._error: Exception | None = None
        self._stopping = False
        self._thread: threading.Thread | None = None
        if not self._open():
            self._folder.parent.mkdir(parents=True, exist_ok=True)
            prefix = f".{self._folder.name}."
            self._work = Path(tempfile.mkdtemp(prefix=prefix, dir=self._folder.parent))
            for name in _FILES:
                (self._work / name).touch()
                self._growing.append((self._work / name).open("rb"))
            self._thread = threading.Thread(
                target=self._build, args=(rows, renderer), name="customize-rendering", daemon=True
            )
            self._thread.start()

    def __len__(self) -> int:
        return self._num_rows

    def __getitem__(self, index: int) -> Rendered:  # type: ignore[override]
        if not -self._num_rows <= index < self._num_rows:
            raise IndexError(f"row {index} of {self._num_rows}")
        index %= self._num_rows
        with self._changed:
            self._changed.wait_for(lambda: self._has(index) or self._error is not None)
            if not self._has(index):
                assert self._error is not None
                raise self._error
            tokens, weights = self._whole.row(index) if self._whole else self._grown(index)
        return Rendered(tokens.astype(np.int32), weights.astype(np.float32))

    def lengths(self) -> Longs:
        """Tokens in each row, int64 [rows]; waits until all are rendered."""
        with self._changed:
            self._changed.wait_for(lambda: self._whole is not None or self._error is not None)
            if self._whole is None:
                assert self._error is not None
                raise self._error
            lengths: Longs = np.diff(self._whole.offsets).astype(np.int64)
            return lengths

    def close(self) -> None:
        """Stop rendering and let go of the files; what was not finished is removed."""
        self._stopping = True
        if self._thread is not None:
            self._thread.join()
        with self._changed:
            if self._error is None:
                self._error = DataError("these rendered rows are closed")
            self._let_go()
            self._num_done, self._whole = 0, None

    def __enter__(self) -> RenderedRows:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _has(self, index: int) -> bool:
        return self._whole is not None or index < self._num_done

    def _grown(self, index: int) -> tuple[Any, Any]:
        """Tokens and weights of a row from the files that are still written."""
        tokens, weights, offsets = self._growing
        start, end = np.frombuffer(_part(offsets, 8 * index, 16), "<i8").tolist()
        return (
            np.frombuffer(_part(tokens, 4 * start, 4 * (end - start)), "<i4"),
            np.frombuffer(_part(weights, start, end - start), np.uint8),
        )

    def _let_go(self) -> None:
        for file in self._growing:
            file.close()
        self._growing = []

    def _open(self) -> bool:
        """Use the finished cache; a damaged one is removed."""
        if not self._folder.is_dir():
            return False
        if not _is_whole(self._folder, self._num_rows):
            shutil.rmtree(self._folder, ignore_errors=True)
            return False
        self._whole = _Columns.mapped(self._folder)
        return True

    def _build(self, rows: Rows, renderer: Renderer) -> None:
        try:
            self._write(rows, renderer)
        # Whatever goes wrong in the thread is raised to who asks for a row.
        except Exception as error:
            with self._changed:
                self._error = error
                self._changed.notify_all()
            shutil.rmtree(self._work, ignore_errors=True)

    def _write(self, rows: Rows, renderer: Renderer) -> None:
        hashes = [hashlib.sha256() for _ in _FILES]
        files: list[BinaryIO] = [(self._work / name).open("wb") for name in _FILES]
        end = 0
        try:
            _emit(files[2], hashes[2], np.asarray([0], "<i8").tobytes())
            for index in range(self._num_rows):
                if self._stopping:
                    raise DataError("these rendered rows are closed")
                rendered = _render(rows, index, renderer)
                end += len(rendered.tokens)
                _emit(files[0], hashes[0], rendered.tokens.astype("<i4").tobytes())
                _emit(files[1], hashes[1], rendered.weights.astype(np.uint8).tobytes())
                _emit(files[2], hashes[2], np.asarray([end], "<i8").tobytes())
                if index < 8 or index % _FLUSH_ROWS == 0:
                    self._publish(files, index + 1)
            self._publish(files, self._num_rows)
            for file in files:
                os.fsync(file.fileno())
        finally:
            for file in files:
                file.close()
        self._finish([digest.hexdigest() for digest in hashes])

    def _publish(self, files: list[BinaryIO], num_done: int) -> None:
        for file in files:
            file.flush()
        with self._changed:
            self._num_done = num_done
            self._changed.notify_all()

    def _finish(self, digests: list[str]) -> None:
        sizes = {name: (self._work / name).stat().st_size for name in _FILES}
        manifest = {
            "format": _FORMAT,
            "rows": self._num_rows,
            "files": {
                n: {"size": sizes[n], "sha256": d} for n, d in zip(_FILES, digests, strict=True)
            },
        }
        with (self._work / _MANIFEST).open("w", encoding="utf-8") as file:
            json.dump(manifest, file)
            file.flush()
            os.fsync(file.fileno())
        with self._changed:
            # Open files keep some systems from renaming their folder.
            self._let_go()
            try:
                self._work.rename(self._folder)
            except OSError:
                # Another process finished the same rows first: theirs are the same.
                shutil.rmtree(self._work, ignore_errors=True)
            self._whole = _Columns.mapped(self._folder)
            self._changed.notify_all()


@attrs.frozen(eq=False)
class _Columns:
    """The finished files, memory-mapped; row i is [offsets[i], offsets[i + 1]) of the others."""

    tokens: Any  # numpy's types of mapped arrays carry no byte order
    weights: Any
    offsets: Any

    @classmethod
    def mapped(cls, folder: Path) -> _Columns:
        return cls(*(_map(folder / name, of) for name, of in zip(_FILES, _TYPES, strict=True)))

    def row(self, index: int) -> tuple[Any, Any]:
        start, end = self.offsets[index : index + 2].tolist()
        return self.tokens[start:end], self.weights[start:end]


def _map(path: Path, of: str) -> Any:
    # An empty file cannot be mapped.
    return np.memmap(path, of, "r") if path.stat().st_size else np.zeros(0, of)


def _part(file: BinaryIO, start: int, size: int) -> bytes:
    file.seek(start)
    return file.read(size)


def _render(rows: Rows, index: int, renderer: Renderer) -> Rendered:
    row = rows[index]
    try:
        return renderer.render(row["messages"], row.get("tools"), row.get("documents"))
    except RenderingError as error:
        raise RenderingError(f"{_place(rows, index)}: {error}") from error


def _place(rows: Rows, index: int) -> str:
    """Where a row stands in its source, as far as the rows can tell; lines count from 1."""
    line = getattr(rows, "line", None)
    if line is None:
        return f"row {index}"
    return f"{getattr(rows, 'name', 'the rows')}, line {line(index)}"


def _emit(file: BinaryIO, digest: Any, data: bytes) -> None:
    file.write(data)
    digest.update(data)


def _key(rows: Rows, renderer: Renderer) -> str:
    fingerprint = getattr(rows, "fingerprint", None)
    digest = hashlib.sha256(f"{_FORMAT} {renderer.fingerprint} {fingerprint} {len(rows)}".encode())
    if fingerprint is None:
        for index in range(len(rows)):
            row = {key: rows[index].get(key) for key in ("messages", "tools", "documents")}
            digest.update(json.dumps(row, sort_keys=True, ensure_ascii=True).encode() + b"\n")
    return digest.hexdigest()[:32]


def _is_whole(folder: Path, num_rows: int) -> bool:
    try:
        manifest = json.loads((folder / _MANIFEST).read_text("utf-8"))
        if manifest["format"] != _FORMAT or manifest["rows"] != num_rows:
            return False
        return all(_matches(folder / name, manifest["files"][name]) for name in _FILES)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _matches(path: Path, entry: Mapping[str, Any]) -> bool:
    if path.stat().st_size != entry["size"]:
        return False
    with path.open("rb") as file:
        return bool(hashlib.file_digest(file, "sha256").hexdigest() == entry["sha256"])
