"""The rows that a run learnt from, as far as they are still at hand. Trains nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import attrs

from customize._errors import DataError
from customize.data.dataset import IndexedDataset
from customize.data.reading import read
from customize.interfaces.dataset import Row
from customize.runs.folder import RunFolder

_MADE = "rows.jsonl"  # where a method keeps the rows that it made, of documents


@attrs.frozen
class Learnt:
    """The rows of all runs and stages. num_missing: of those whose rows are gone or changed."""

    data: tuple[IndexedDataset, ...]
    num_missing: int

    def __iter__(self) -> Iterator[Row]:
        for rows in self.data:
            yield from (rows[number] for number in range(len(rows)))


def learnt_by(*folders: RunFolder) -> Learnt:
    """What the runs in the folders, and those of the stages before them, were trained on."""
    found = [_rows(run) for folder in folders for run in (*folder.before, folder)]
    there = tuple(rows for rows in found if rows is not None)
    return Learnt(there, len(found) - len(there))


def _rows(run: RunFolder) -> IndexedDataset | None:
    try:
        if (made := run.path / _MADE).is_file():
            return read(made, kind="chat", on_bad_rows="skip")
        source = Path(run.recipe().data)
        data = read(source, on_bad_rows="skip") if source.is_file() else None
    except DataError:
        return None
    return data if data is not None and data.fingerprint == run.lineage()["data"] else None
