"""`split`: training, development and test files that share no group and no near-duplicate."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import attrs
import numpy as np

from customize._errors import DataError, OptionError
from customize.data.dataset import IndexedDataset
from customize.data.reading import OnBadRows, Source, read
from customize.data.similarity import Clusters, near_duplicates
from customize.data.texts import everything, spoken

PARTS = ("train", "dev", "test")


@attrs.frozen
class Split:
    """What was written: the number of rows and the file of each part that has a share.

    ``kept_together`` is the number of rows in a cluster (a group, or duplicates) of two or more.
    """

    rows: dict[str, int]
    files: dict[str, Path]
    clusters: int
    kept_together: int
    rows_skipped: int

    def describe(self) -> str:
        """One line with the counts."""
        parts = ", ".join(f"{count} {part}" for part, count in self.rows.items())
        skipped = f"; {self.rows_skipped} bad rows skipped" if self.rows_skipped else ""
        return f"{parts} rows; {self.kept_together} kept together with rows like them{skipped}"


def split(
    source: Source,
    to: str | Path,
    shares: Sequence[float] = (0.8, 0.1, 0.1),
    group: str | None = None,
    seed: int = 0,
    on_bad_rows: OnBadRows = "refuse",
) -> Split:
    """Write ``train.jsonl``, ``dev.jsonl`` and ``test.jsonl`` into the folder ``to``.

    ``source`` is that of `read`; ``shares`` are fractions of the rows, in that order of files,
    met as nearly as clusters allow. The same rows and ``seed`` give the same files.
    Rows with equal values in the column ``group`` go to one part, and so do exact and near
    duplicates: Jaccard similarity of 0.8 or more over pairs of neighbouring words, system messages
    aside, which is one word in 18 changed. Rows keep their order and, of JSONL, their bytes. A
    share of 0 writes no file.

    Raises:
        DataError: the rows cannot be read, lack ``group``, or are too few or too much alike to
            give each part one; or a file to be written is there already.
        OptionError: ``shares`` are not three numbers of sum 1, or ``on_bad_rows`` is not allowed.
        MissingDependency, UnknownName, PluginError: as `read` does.
    """
    wanted = _wanted(shares)
    dataset = read(source, on_bad_rows=on_bad_rows)
    files = _new_files(Path(to), wanted)
    clusters = _clusters(dataset, group).all()
    parts = _assign([len(one) for one in clusters], wanted, len(dataset), seed)
    rows = {part: _rows_of(part, parts, clusters) for part in wanted}
    if empty := [part for part, numbers in rows.items() if not numbers]:
        raise DataError(
            f"{dataset.name}: {len(dataset)} rows in {len(clusters)} clusters (groups and "
            f"duplicates) leave none for {' and '.join(empty)}; give more rows, a finer group, "
            "or that part a share of 0"
        )
    _write(dataset, rows, files)
    together = sum(len(one) for one in clusters if len(one) > 1)
    counts = {part: len(numbers) for part, numbers in rows.items()}
    return Split(counts, files, len(clusters), together, dataset.rows_skipped)


def _wanted(shares: Sequence[float]) -> dict[str, float]:
    good = len(shares) == len(PARTS) and all(0 <= share <= 1 for share in shares)
    if not good or abs(sum(shares) - 1) > 1e-6:
        raise OptionError(
            f"shares must be three numbers of sum 1, for train, dev and test (got {list(shares)})"
        )
    return {part: share for part, share in zip(PARTS, shares, strict=True) if share > 0}


def _new_files(to: Path, parts: dict[str, float]) -> dict[str, Path]:
    files = {part: to / f"{part}.jsonl" for part in parts}
    for file in files.values():
        if file.exists() or file.is_symlink():
            raise DataError(f"{file} is there already; choose another folder, or move it away")
    return files


def _clusters(dataset: IndexedDataset, group: str | None) -> Clusters:
    """Rows joined by group, then by equal text, then by nearly equal text."""
    clusters = Clusters(len(dataset))
    first_of: dict[bytes, int] = {}
    for number in range(len(dataset)):
        row = dataset[number]
        keys = [b"text" + everything(row).encode("utf-8", "surrogatepass")]
        if group is not None:
            if row.get(group) is None:
                where = f"{dataset.name}, line {dataset.line(number)}"
                there = ", ".join(repr(name) for name in row if row[name] is not None)
                raise DataError(f"{where}: no column {group!r} to group by; there are {there}")
            keys.append(b"group" + repr(row[group]).encode())
        for key in keys:
            clusters.join(first_of.setdefault(hashlib.sha256(key).digest(), number), number)
    texts = ((number, spoken(dataset[number])) for number in range(len(dataset)))
    near_duplicates(texts, lambda number: spoken(dataset[number]), clusters)
    return clusters


def _assign(sizes: list[int], wanted: dict[str, float], num_rows: int, seed: int) -> list[str]:
    """A part for each cluster: in random order, to the part that lacks the most rows."""
    lacking = {part: max(1.0, share * num_rows) for part, share in wanted.items()}
    lacking["train" if "train" in wanted else next(iter(wanted))] -= (
        sum(lacking.values()) - num_rows
    )
    parts = [""] * len(sizes)
    for one in np.random.default_rng(seed).permutation(len(sizes)):
        room = [part for part in lacking if lacking[part] >= sizes[one]] or list(lacking)
        parts[one] = max(room, key=lambda part: lacking[part])
        lacking[parts[one]] -= sizes[one]
    return parts


def _rows_of(part: str, parts: list[str], clusters: list[list[int]]) -> list[int]:
    chosen = (one for its, one in zip(parts, clusters, strict=True) if its == part)
    return sorted(number for one in chosen for number in one)


def _write(dataset: IndexedDataset, rows: dict[str, list[int]], files: dict[str, Path]) -> None:
    """All files beside their places first, then each renamed to its own."""
    folder = next(iter(files.values())).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".split-") as beside:
            for part, file in files.items():
                _write_rows(dataset, rows[part], Path(beside, file.name))
            for file in files.values():
                Path(beside, file.name).rename(file)
    except OSError as error:
        raise DataError(f"{folder} cannot be written: {error.strerror or error}") from error


def _write_rows(dataset: IndexedDataset, rows: list[int], file: Path) -> None:
    with file.open("xb") as stream:
        for number in rows:
            line = dataset.raw(number)
            stream.write(line if line.endswith(b"\n") else line + b"\n")
        stream.flush()
        os.fsync(stream.fileno())
