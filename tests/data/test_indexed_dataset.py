"""Rows by number from a file that is never loaded."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import sys
from array import array
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from customize._errors import DataError
from customize.data import IndexedDataset, read


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    rows = [{"prompt": "p" * (i * 37 % 20_000), "completion": "b", "id": i} for i in range(600)]
    lines = [json.dumps(row) for row in rows]
    lines[5:5] = ["", "broken", ""]
    path.write_text("\n".join(lines))
    return path


@pytest.fixture
def dataset(file: Path) -> IndexedDataset:
    return read(file, on_bad_rows="skip")


def test_rows_by_number_from_either_end_and_in_slices(dataset: IndexedDataset) -> None:
    assert len(dataset) == 600
    assert [dataset[i]["id"] for i in (0, 4, 5, 599, -1, -600)] == [
        0,
        4,
        5,
        599,
        599,
        0,
    ]
    assert [row["id"] for row in dataset[3:9:2]] == [3, 5, 7]
    assert [row["id"] for row in dataset] == list(range(600))
    for outside in (600, -601):
        with pytest.raises(IndexError):
            dataset[outside]


def test_lines_and_bytes_are_those_of_the_file(dataset: IndexedDataset, file: Path) -> None:
    lines = file.read_bytes().splitlines(keepends=True)
    for number in (0, 4, 5, 6, 599, -1):
        assert dataset.raw(number) == lines[dataset.line(number) - 1]
    assert [dataset.line(number) for number in (4, 5)] == [5, 9]


def test_the_fingerprint_is_the_sha256_of_the_file(dataset: IndexedDataset, file: Path) -> None:
    assert dataset.fingerprint == hashlib.sha256(file.read_bytes()).hexdigest()


def test_a_row_is_a_copy_of_ones_own(dataset: IndexedDataset) -> None:
    dataset[1]["messages"].clear()
    assert len(dataset[1]["messages"]) == 2


def test_a_file_changed_in_use_is_noticed(dataset: IndexedDataset, file: Path) -> None:
    with file.open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(DataError, match="was changed while it is in use"):
        dataset[0]


def test_threads_read_at_once(dataset: IndexedDataset) -> None:
    numbers = list(range(600)) * 3
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda i: dataset[i]["id"], numbers)) == numbers


def _ids(dataset: IndexedDataset, numbers: range, to: Any) -> None:
    to.send([dataset[i]["id"] for i in numbers])


@pytest.mark.skipif(not hasattr(os, "fork") or sys.platform == "darwin", reason="no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_forked_processes_do_not_disturb_each_other(dataset: IndexedDataset) -> None:
    context = multiprocessing.get_context("fork")
    for_us, for_them = context.Pipe(duplex=False)
    process = context.Process(target=_ids, args=(dataset, range(599, -1, -1), for_them))
    process.start()
    assert [dataset[i]["id"] for i in range(600)] == list(range(600))
    assert for_us.recv() == list(range(599, -1, -1))
    process.join()


def test_the_index_takes_eight_bytes_a_row(dataset: IndexedDataset) -> None:
    offsets = dataset._index.offsets
    assert isinstance(offsets, array)
    assert offsets.itemsize * len(offsets) == 8 * len(dataset)
    assert len(dataset._index.jump_rows) == 1
