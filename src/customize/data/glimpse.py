"""About what a large file holds, by some of its lines, or of its rows where it is Parquet: for what
cannot wait for a pass over all of it. Knows nothing of what rows are used for.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import IO

import attrs
import numpy as np

from customize.data.dataset import IndexedDataset, Indexing
from customize.data.lines import MAX_LINE, LineFile
from customize.data.reading import has_lines, is_parquet, spooled
from customize.data.stored_index import MIN_BYTES, StoredIndex
from customize.data.tables import parquet_sample
from customize.interfaces.dataset import Row

_NUM_WINDOWS, _A_WINDOW = 50, 20  # into the file; lines that each is about as large as
_Z = 1.96


@attrs.frozen(eq=False)
class Glimpse:
    """A data set of about ``num`` rows, of which ``rows`` are at hand and stand for the others.

    off: the share of ``num`` by which there may be more or fewer.
    """

    rows: IndexedDataset
    num: int
    off: float

    @property
    def kind(self) -> str:
        return self.rows.kind

    @property
    def fingerprint(self) -> str:
        return f"{self.rows.fingerprint}-of-about-{self.num}"

    def __len__(self) -> int:
        return self.num

    def __getitem__(self, index: int, /) -> Row:
        if not 0 <= index < self.num:
            raise IndexError(index)
        return self.rows[index % len(self.rows)]

    def between(self) -> tuple[Glimpse, Glimpse]:
        """With as few rows as there may be, and with as many."""
        few, many = (max(1, round(self.num * (1 + sign * self.off))) for sign in (-1, 1))
        return attrs.evolve(self, num=few), attrs.evolve(self, num=many)


def glimpse(source: object, kind: str) -> Glimpse | None:
    """Of a large file of lines that was never passed over, or of Parquet, which no pass is
    remembered of. None of any other ``source``, where lines are so long that it holds few or the
    table has few groups of rows, and where none that was looked at is a good row.

    Raises:
        DataError, MissingDependency: as ``read``, but for bad rows.
    """
    if not isinstance(source, str | os.PathLike):
        return None
    path = Path(source).expanduser()
    if not path.is_file() or path.stat().st_size < MIN_BYTES:
        return None
    if is_parquet(path):
        return _of_parquet(path, kind)
    if not has_lines(path):
        return None
    with path.open("rb") as stream:
        if StoredIndex(path, stream.fileno(), kind).recall() is not None:
            return None
        return _looked_at(stream, path, kind)


def _looked_at(stream: IO[bytes], path: Path, kind: str) -> Glimpse | None:
    size = path.stat().st_size
    window = _A_WINDOW * _about_a_line(stream, size)
    if _NUM_WINDOWS * window >= size:
        return None
    windows = [_begun_in(stream, at, window) for at in _places(size - window)]
    rows = _rows(b"".join(line for lines in windows for line in lines), str(path), kind)
    if not len(rows):
        return None
    counts = np.array([len(lines) for lines in windows])
    good = len(rows) / counts.sum()
    off = _Z * counts.std(ddof=1) / np.sqrt(len(counts)) / counts.mean()
    return Glimpse(rows, round(size / window * counts.mean() * good), min(1.0, float(off)))


def _places(below: int) -> list[int]:
    """One at random in each of as many equal parts, always the same."""
    drawn = np.arange(_NUM_WINDOWS) + np.random.default_rng(0).random(_NUM_WINDOWS)
    return [int(place) for place in drawn * below / _NUM_WINDOWS]


def _about_a_line(stream: IO[bytes], size: int) -> int:
    """Bytes of one that is drawn by its place: longer ones more often, which does no harm here."""
    return 1 + round(np.mean([len(_line_at(stream, at)) for at in _places(size)]))


def _line_at(stream: IO[bytes], at: int) -> bytes:
    """The first that begins there or after."""
    stream.seek(max(0, at - 1))
    if at:
        stream.readline(MAX_LINE)
    return stream.readline(MAX_LINE)


def _begun_in(stream: IO[bytes], at: int, window: int) -> list[bytes]:
    """Lines that begin in so many bytes from ``at``: every line of the file is as likely."""
    found, line = [], _line_at(stream, at)
    while line and stream.tell() - len(line) < at + window:
        found.append(line if line.endswith(b"\n") else line + b"\n")
        line = stream.readline(MAX_LINE)
    return found


def _rows(content: bytes, name: str, kind: str) -> IndexedDataset:
    spool = tempfile.TemporaryFile("w+b", prefix="customize-")  # noqa: SIM115, the data set's own
    spool.write(content)
    spool.seek(0)
    file = LineFile(spool, name)
    return IndexedDataset(file, Indexing(file, kind).over(file.lines()))


def _of_parquet(path: Path, kind: str) -> Glimpse | None:
    """By the first rows of as many groups; how many rows there are it says itself."""
    found = parquet_sample(path, _NUM_WINDOWS, _A_WINDOW)
    if found is None:
        return None
    total, records = found
    rows = spooled(records, str(path), kind)
    if not len(rows):
        return None
    good = len(rows) / len(records)
    off = _Z * np.sqrt((1 - good) / good / len(records))
    return Glimpse(rows, round(total * good), min(1.0, float(off)))
