"""What a large file holds, told by some of its lines."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from customize import DataError, read
from customize.data import glimpse as glimpsing
from customize.data import stored_index
from customize.data.glimpse import glimpse


@pytest.fixture(autouse=True)
def _any_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of any size and age are large, and an index of them is kept."""
    monkeypatch.setenv("CUSTOMIZE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(glimpsing, "MIN_BYTES", 1)
    monkeypatch.setattr(stored_index, "MIN_BYTES", 1)
    monkeypatch.setattr(stored_index, "_SETTLED_NS", -(10**9))


def write(file: Path, num: int, growing: bool = False, bad_every: int = 0) -> Path:
    """Rows of many lengths; ``growing``: ever longer ones."""
    lengths = np.random.default_rng(1).geometric(0.05, size=num)
    lengths = np.sort(lengths) if growing else lengths
    lines = [
        json.dumps({"prompt": "more " * int(length), "completion": f"{i}"})
        for i, length in enumerate(lengths)
    ]
    lines[1 :: bad_every or num] = ["{}"] * len(lines[1 :: bad_every or num])
    lines[1] = "" if not bad_every else lines[1]
    file.write_text("\n".join(lines))
    return file


@pytest.mark.parametrize("growing", [False, True])
def test_about_as_many_rows_are_told_as_there_are_and_few_lines_are_read(
    tmp_path: Path, growing: bool
) -> None:
    seen = glimpse(write(tmp_path / "rows.jsonl", 20_000, growing), "chat")
    assert seen is not None
    few, many = seen.between()
    assert len(few) < 19_999 < len(many)
    assert seen.num == pytest.approx(20_000, rel=0.15)
    assert 500 < seen.rows.report.lines < 2_000
    numbers = {int(row["messages"][-1]["content"]) // 2000 for row in seen.rows}
    assert numbers == set(range(10))  # from everywhere
    assert seen[seen.num - 1] in list(seen.rows)
    said = [len(row["messages"][0]["content"]) for row in seen.rows]
    assert np.mean(said) == pytest.approx(100, rel=0.15)  # long ones are not drawn more often


def test_bad_rows_count_by_their_share(tmp_path: Path) -> None:
    seen = glimpse(write(tmp_path / "rows.jsonl", 5_000, bad_every=3), "chat")
    whole = len(read(tmp_path / "rows.jsonl", on_bad_rows="skip"))
    assert seen is not None
    assert seen.between()[0].num < whole < seen.between()[1].num


def test_a_file_that_was_passed_over_is_known_better(tmp_path: Path) -> None:
    file = write(tmp_path / "rows.jsonl", 2_000, bad_every=100)
    assert glimpse(file, "chat") is not None
    read(file, kind="chat", on_bad_rows="skip")
    assert glimpse(file, "chat") is None


def test_small_files_tables_and_rows_at_hand_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rows.csv").write_text("prompt,completion\na,b\n")
    assert glimpse(tmp_path / "rows.csv", "chat") is None
    assert glimpse([{"prompt": "a", "completion": "b"}], "chat") is None
    assert glimpse("owner/name", "chat") is None
    monkeypatch.setattr(glimpsing, "MIN_BYTES", 10**6)
    assert glimpse(write(tmp_path / "rows.jsonl", 100), "chat") is None


def parquet(file: Path, num: int, group: int, bad_every: int = 0) -> Path:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    said = [f"row {i}" if not bad_every or i % bad_every else None for i in range(num)]
    table = pyarrow.table({"prompt": said, "completion": [str(i) for i in range(num)]})
    parquet.write_table(table, file, row_group_size=group)
    return file


def test_a_table_in_parquet_says_how_many_rows_it_has_and_some_of_each_part_are_read(
    tmp_path: Path,
) -> None:
    seen = glimpse(parquet(tmp_path / "rows.parquet", 20_000, 200), "chat")
    assert seen is not None
    assert [one.num for one in seen.between()] == [20_000, 20_000]
    assert len(seen.rows) == 50 * 20
    numbers = {int(row["messages"][-1]["content"]) // 2000 for row in seen.rows}
    assert numbers == set(range(10))  # from everywhere


def test_bad_rows_of_parquet_count_by_their_share(tmp_path: Path) -> None:
    file = parquet(tmp_path / "rows.parquet", 7_001, 70, bad_every=3)
    seen, whole = glimpse(file, "chat"), len(read(file, on_bad_rows="skip"))
    assert seen is not None
    assert seen.between()[0].num < whole < seen.between()[1].num


def test_parquet_in_few_parts_is_read(tmp_path: Path) -> None:
    assert glimpse(parquet(tmp_path / "rows.parquet", 20_000, 5_000), "chat") is None


def test_a_file_of_few_long_lines_is_read(tmp_path: Path) -> None:
    assert glimpse(write(tmp_path / "rows.jsonl", 200), "chat") is None


def test_rows_of_another_kind_are_told_as_when_they_are_read(tmp_path: Path) -> None:
    file = write(tmp_path / "rows.jsonl", 2_000)
    with pytest.raises(DataError, match=r"rows\.jsonl") as of_a_glimpse:
        glimpse(file, "preference")
    with pytest.raises(DataError) as of_all:
        read(file, kind="preference")
    assert str(of_a_glimpse.value) == str(of_all.value)
