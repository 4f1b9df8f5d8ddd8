"""A large file is passed over once, and a changed one is never served by an old index."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from customize._errors import DataError
from customize.data import IndexedDataset, read, stored_index

pytestmark = pytest.mark.skipif(os.name == "nt", reason="nothing is kept without a change time")


def write(path: Path, answer: str) -> None:
    rows = [{"prompt": f"ask {i}", "completion": f"{answer} {i}"} for i in range(300)]
    lines = [json.dumps(row) for row in rows]
    lines[7:7] = ["", "broken"]
    path.write_text("\n".join(lines) + "\n")


def is_recalled(dataset: IndexedDataset) -> bool:
    """Whether the index is the stored one, memory-mapped."""
    return isinstance(dataset._index.offsets, memoryview)


def answer_of(dataset: IndexedDataset, row: int = 0) -> str:
    return str(dataset[row]["messages"][-1]["content"])


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache's folder of indexes; files of any size and age are kept."""
    monkeypatch.setenv("CUSTOMIZE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(stored_index, "MIN_BYTES", stored_index._PIECE)
    monkeypatch.setattr(stored_index, "_SETTLED_NS", -(10**9))
    return tmp_path / "cache" / "indexes"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write(tmp_path / "rows.jsonl", "first")
    return tmp_path / "rows.jsonl"


def opened(file: Path) -> IndexedDataset:
    return read(file, on_bad_rows="skip")


def test_what_is_recalled_equals_what_was_found(
    cache: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(file)
    recalled = opened(file)
    monkeypatch.setattr(stored_index, "MIN_BYTES", 2**40)
    fresh = opened(file)
    assert is_recalled(recalled)
    assert not is_recalled(fresh)
    assert list(recalled) == list(fresh)
    assert recalled.report == fresh.report
    assert recalled.describe() == fresh.describe()
    assert [recalled.line(i) for i in range(300)] == [fresh.line(i) for i in range(300)]


def test_bad_rows_are_refused_again_from_the_stored_report(cache: Path, file: Path) -> None:
    for _ in range(2):
        with pytest.raises(DataError, match="line 9: not JSON"):
            read(file)


def test_each_kind_has_an_index_of_its_own(cache: Path, file: Path) -> None:
    for kind in ("chat", "prompt", "chat", "prompt"):
        assert read(file, kind=kind, on_bad_rows="skip").kind == kind
    assert len(list(cache.iterdir())) == 2


def test_a_file_changed_in_place_with_its_times_put_back_is_read_anew(
    cache: Path, file: Path
) -> None:
    opened(file)
    known = file.stat()
    content = file.read_bytes().replace(b'first 9"', b'other 9"')
    with file.open("r+b") as stream:
        stream.write(content)
    os.utime(file, ns=(known.st_atime_ns, known.st_mtime_ns))
    assert file.stat().st_size == known.st_size
    assert file.stat().st_mtime_ns == known.st_mtime_ns
    changed = opened(file)
    assert answer_of(changed, 9) == "other 9"
    assert changed.fingerprint == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("change", ["append", "replace", "rewrite"])
def test_a_changed_file_is_read_anew_and_its_old_index_goes(
    change: str, cache: Path, file: Path
) -> None:
    before = opened(file).fingerprint
    if change == "append":
        with file.open("a") as stream:
            stream.write('{"prompt": "one", "completion": "more"}\n')
    elif change == "replace":
        write(file.with_suffix(".new"), "other")
        file.with_suffix(".new").replace(file)
    else:
        write(file, "other")
    after = opened(file)
    assert after.fingerprint != before
    assert len(after) == (301 if change == "append" else 300)
    assert answer_of(after) == ("first 0" if change == "append" else "other 0")
    assert len(list(cache.iterdir())) == 1


def test_a_file_changed_just_before_is_not_kept(
    cache: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_index, "_SETTLED_NS", 3600 * 10**9)
    assert not is_recalled(opened(file))
    assert not cache.exists()


@pytest.mark.parametrize("name", ["index.i64", "manifest.json"])
@pytest.mark.parametrize("damage", ["flip", "truncate", "remove"])
def test_a_damaged_index_is_made_anew(name: str, damage: str, cache: Path, file: Path) -> None:
    rows = list(opened(file))
    (stored,) = cache.glob(f"*/{name}")
    content = bytearray(stored.read_bytes())
    content[0] ^= 1
    if damage == "remove":
        stored.unlink()
    else:
        stored.write_bytes(content if damage == "flip" else content[:-1])
    assert list(opened(file)) == rows
    assert is_recalled(opened(file))


def test_a_cache_that_cannot_be_written_costs_a_pass_and_no_more(cache: Path, file: Path) -> None:
    cache.parent.write_text("a file where the folder would be")
    assert len(opened(file)) == len(opened(file)) == 300


def test_nothing_of_a_small_file_is_kept(
    cache: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_index, "MIN_BYTES", 16 * 2**20)
    assert not is_recalled(opened(file))
    assert not cache.exists()
