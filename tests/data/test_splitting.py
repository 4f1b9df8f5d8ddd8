"""Parts that share no group and no near-duplicate, and lose nothing."""

from __future__ import annotations

import itertools
import json
import random
from pathlib import Path
from typing import Any

import pytest

from customize._errors import DataError, OptionError
from customize.data import Split, read, split


def written(result: Split) -> dict[str, list[bytes]]:
    return {
        part: file.read_bytes().splitlines(keepends=True) for part, file in result.files.items()
    }


def plain_rows(num_rows: int) -> list[dict[str, Any]]:
    rng = random.Random(0)
    return [
        {
            "prompt": " ".join(f"w{rng.randrange(5000)}" for _ in range(20)),
            "completion": "b",
            "id": i,
        }
        for i in range(num_rows)
    ]


def test_shares_are_met_to_the_row_and_every_row_is_in_one_part(tmp_path: Path) -> None:
    result = split(plain_rows(200), tmp_path / "parts")
    assert result.rows == {"train": 160, "dev": 20, "test": 20}
    ids = [json.loads(line)["id"] for lines in written(result).values() for line in lines]
    assert sorted(ids) == list(range(200))
    assert sorted(file.name for file in (tmp_path / "parts").iterdir()) == [
        "dev.jsonl",
        "test.jsonl",
        "train.jsonl",
    ]
    for file in result.files.values():
        assert read(file).kind == "chat"


def test_lines_keep_their_bytes_and_order(tmp_path: Path) -> None:
    lines = [
        b'{"id":%d ,  "prompt":"\\u00e9 %s","completion":"b"}' % (i, b"x" * i) for i in range(40)
    ]
    file = tmp_path / "rows.jsonl"
    file.write_bytes(b"\xef\xbb\xbf" + b"\r\n".join(lines))
    parts = written(split(file, tmp_path / "parts", seed=3))
    for part in parts.values():
        assert [line.rstrip() for line in part] == [line for line in lines if line + b"\r\n" in part
                                                    or line + b"\n" in part]  # fmt: skip
        ids = [json.loads(line)["id"] for line in part]
        assert ids == sorted(ids)
    assert sorted(line.rstrip() for part in parts.values() for line in part) == sorted(lines)


def test_groups_stay_whole(tmp_path: Path) -> None:
    rows = [{**row, "customer": row["id"] % 30} for row in plain_rows(300)]
    parts = written(split(rows, tmp_path, group="customer"))
    customers = [{json.loads(line)["customer"] for line in part} for part in parts.values()]
    for left, right in itertools.combinations(customers, 2):
        assert not left & right
    assert set().union(*customers) == set(range(30))


def test_near_duplicates_stay_on_one_side(tmp_path: Path) -> None:
    rows = plain_rows(60)
    for row in rows[:20]:  # the system message differs, and a word of forty
        words = row["prompt"].split() * 2
        row["prompt"] = " ".join(words)
        rows.append(
            {
                **row,
                "prompt": " ".join([*words[:-1], "other"]),
                "system": f"s{row['id']}",
            }
        )
    result = split(rows, tmp_path, shares=(0.5, 0.25, 0.25))
    assert result.kept_together == 40
    parts = [{json.loads(line)["id"] for line in part} for part in written(result).values()]
    for left, right in itertools.combinations(parts, 2):
        assert not left & right  # a duplicate has the id of what it was made from


def test_a_seed_gives_one_split_and_another_seed_another(tmp_path: Path) -> None:
    rows = plain_rows(100)
    first, again, other = (
        written(split(rows, tmp_path / str(i), seed=seed)) for i, seed in enumerate((1, 1, 2))
    )
    assert first == again
    assert first["test"] != other["test"]


def test_a_share_of_zero_writes_no_file(tmp_path: Path) -> None:
    result = split(plain_rows(10), tmp_path, shares=(0.9, 0, 0.1))
    assert result.rows == {"train": 9, "test": 1}
    assert not (tmp_path / "dev.jsonl").exists()


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "test.jsonl").write_text("mine")
    with pytest.raises(DataError, match=r"test\.jsonl is there already"):
        split(plain_rows(20), tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["test.jsonl"]
    assert (tmp_path / "test.jsonl").read_text() == "mine"


def test_rows_that_cannot_be_split_are_refused_and_leave_no_file(
    tmp_path: Path,
) -> None:
    same = [{**row, "customer": 1} for row in plain_rows(20)]
    with pytest.raises(DataError, match=r"20 rows in 1 clusters .* leave none for dev and test"):
        split(same, tmp_path, group="customer")
    told = "line 1: no column 'shop' to group by; there are 'id', 'customer', 'messages'"
    with pytest.raises(DataError, match=told):
        split(same, tmp_path, group="shop")
    with pytest.raises(DataError, match="rows cannot be used"):
        split([*same, {"prompt": "a", "completion": ""}], tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("shares", [(0.8, 0.1), (0.8, 0.1, 0.2), (1.2, -0.1, -0.1)])
def test_shares_that_are_no_shares_are_refused(tmp_path: Path, shares: tuple[float, ...]) -> None:
    with pytest.raises(OptionError, match="three numbers of sum 1"):
        split(plain_rows(5), tmp_path, shares=shares)


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        split(plain_rows(20), tmp_path / "file" / "inside")


def test_small_sets_give_each_part_a_row(tmp_path: Path) -> None:
    for num_rows in (3, 4, 5, 7):
        result = split(plain_rows(num_rows), tmp_path / str(num_rows))
        assert result.rows == {"train": num_rows - 2, "dev": 1, "test": 1}
