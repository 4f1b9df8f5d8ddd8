"""JSON lists, CSV, Parquet and hub data sets, record by record."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from customize._errors import DataError, MissingDependency
from customize.data import read

ROWS: list[dict[str, Any]] = [{"prompt": f"a{i}", "completion": f"b{i}"} for i in range(3)]


def skipped(path: Path) -> list[tuple[int, str]]:
    report = read(path, on_bad_rows="skip").report
    assert report.lines == report.good + report.blank + len(report.bad)
    return [(row.line, row.reason) for row in report.bad]


@pytest.mark.parametrize("indent", [None, 2])
def test_a_json_list_is_read(tmp_path: Path, indent: int | None) -> None:
    file = tmp_path / "rows.json"
    file.write_text(json.dumps(ROWS, indent=indent), encoding="utf-8-sig")
    dataset = read(file)
    assert [row["messages"][1]["content"] for row in dataset] == ["b0", "b1", "b2"]
    assert dataset.fingerprint == read(ROWS).fingerprint


def test_bad_elements_of_a_json_list_are_reported_by_number(tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    good = json.dumps(ROWS[0])
    file.write_text(f'[{good}, 5, {{"id": NaN, {good[1:]}, {{"a": 1, "a": 2}}, {good}]')
    assert skipped(file) == [
        (2, "not an object"),
        (3, "number is not finite"),
        (4, "duplicate key"),
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[", "element 1: not JSON"),
        ("[]", "holds no rows"),
        ('[{"a": 1}\n{"a": 2}]', "line 2: ',' or ']' must follow element 1"),
        ('[{"a": 1}] x', "something follows"),
        ('[{"a": 1},', "element 2: not JSON"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_a_broken_json_list_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    file = tmp_path / "rows.json"
    file.write_text(text)
    with pytest.raises(DataError, match=reason):
        read(file, on_bad_rows="skip")


def test_a_json_file_of_lines_is_read_as_lines(tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    file.write_text("\n".join(map(json.dumps, ROWS)))
    assert len(read(file)) == 3


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_is_read_as_python_writes_it(tmp_path: Path, delimiter: str) -> None:
    hard = [
        {
            "prompt": 'say "hi"; or,\tnot\nat all',
            "completion": "\u00e9\U0001f355",
            "weight": "0.5",
        },
        {"prompt": " x ", "completion": "y", "weight": ""},
    ]
    file = tmp_path / "rows.csv"
    with file.open("w", encoding="utf-8-sig", newline="") as stream:
        writer = csv.DictWriter(stream, list(hard[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(hard)
    dataset = read(file)
    assert [row["messages"][0]["content"] for row in dataset] == [row["prompt"] for row in hard]
    assert [row.get("weight") for row in dataset] == [0.5, None]
    assert [dataset.line(0), dataset.line(1)] == [2, 4]


def test_bad_csv_records_are_reported_by_their_first_line(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    lines = [
        b"prompt,completion",
        b"a,b",
        b"a",
        b"a,b,c",
        b"a,\xff",
        b"a,\0",
        b"a,",
        b'"x"y,b',
    ]
    file.write_bytes(b"\n".join([*lines, b"a,b"]) + b"\n")
    assert skipped(file) == [
        (3, "wrong number of fields"),
        (4, "wrong number of fields"),
        (5, "not UTF-8"),
        (6, "NUL character"),
        (7, "empty answer"),
        (8, "not CSV"),
    ]


@pytest.mark.parametrize("on_bad_rows", ["refuse", "skip"])
@pytest.mark.parametrize(
    ("broken", "opened", "ran"),
    [
        (['a,"b'], 4, 504),  # to the end
        (['5" disk,b', '"two', 'lines","b'], 6, 506),  # opened in the record's second line
        (['a,"b', 'c,"d"'], 4, 5),  # closed by a quote that was to open
        (['a,"b', 'c,"d,"e"'], 4, 5),
    ],
)
def test_a_quote_left_open_is_refused_with_its_lines_whatever_is_skipped(
    tmp_path: Path, broken: list[str], opened: int, ran: int, on_bad_rows: Any
) -> None:
    file = tmp_path / "rows.csv"
    lines = ["prompt,completion", "a,b", "a,b", *broken, *["a,b"] * 500]
    file.write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match=f"opens in line {opened} .* ran to line {ran};"):
        read(file, on_bad_rows=on_bad_rows)


def test_a_record_of_several_lines_and_too_few_fields_says_how_far_it_ran(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text('prompt,completion\na,b\n"a,b\nc,d"\na,b\n')
    report = read(file, on_bad_rows="skip").report
    assert (report.lines, report.good, len(report.bad)) == (3, 2, 1)
    assert "it runs over 2 lines" in str(report.bad[0])


@pytest.mark.parametrize(
    ("text", "reason"),
    [("", "header"), ("a,a\n1,2\n", "twice"), ("prompt,completion\n", "no rows")],
)
def test_csv_without_usable_header_or_rows_is_refused(
    tmp_path: Path, text: str, reason: str
) -> None:
    file = tmp_path / "rows.csv"
    file.write_text(text)
    with pytest.raises(DataError, match=reason):
        read(file)


def test_csv_with_messages_as_json_and_a_cell_of_a_megabyte(tmp_path: Path) -> None:
    messages = [
        {"role": "user", "content": "a" * 2**20},
        {"role": "assistant", "content": "b"},
    ]
    file = tmp_path / "rows.csv"
    with file.open("w", newline="") as stream:
        csv.writer(stream).writerows([["messages"], [json.dumps(messages)]])
    assert read(file)[0]["messages"] == messages


def test_parquet_is_read_without_the_nulls_arrow_fills_in(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    user, answer = (
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
    )
    calls = [{"function": {"name": "f", "arguments": '{"x": 1}'}}]
    rows = [
        {"messages": [user, answer], "id": 1},
        {
            "messages": [
                user,
                {"role": "assistant", "content": "", "tool_calls": calls},
            ],
            "id": 2,
        },
    ]
    file = tmp_path / "rows.parquet"
    parquet.write_table(pyarrow.Table.from_pylist(rows), file)
    dataset = read(file)
    assert dataset[0] == rows[0]
    call = dataset[1]["messages"][1]["tool_calls"][0]
    assert call["function"] == {"name": "f", "arguments": {"x": 1}}
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        read(file)


def test_values_json_cannot_hold_are_bad_rows() -> None:
    cyclic: dict[str, Any] = dict(ROWS[0])
    cyclic["self"] = cyclic
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    bad: list[Any] = [
        {**ROWS[0], "at": b"bytes"},
        {**ROWS[0], "at": float("nan")},
        {**ROWS[0], "at": "\ud800"},
        {**ROWS[0], "at": deep},
        cyclic,
        "text",
    ]
    report = read([ROWS[1], *bad], on_bad_rows="skip").report
    assert [(row.line, row.reason) for row in report.bad] == [
        (2, "wrong type"),
        (3, "number is not finite"),
        (4, "lone surrogate"),
        (5, "nested too deeply"),
        (6, "not JSON"),
        (7, "not an object"),
    ]


def test_missing_packages_are_named_with_the_line_that_installs_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingDependency, match="pip install datasets"):
        read("owner/name@main:train")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "rows.parquet").write_bytes(b"PAR1")
    with pytest.raises(MissingDependency, match="pip install pyarrow"):
        read(tmp_path / "rows.parquet")


_HUB = """
__version__ = "4.0.0"
def load_dataset(name, split, revision):
    if name != "owner/name":
        raise ConnectionError("gated")
    return [{"prompt": split, "completion": str(revision), "empty": None}]
"""


def test_a_hub_name_says_revision_and_split(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "datasets.py").write_text(_HUB)  # stands in for the hub, not for our code
    monkeypatch.delitem(sys.modules, "datasets", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    for name, expected in {
        "owner/name": ("train", "None"),
        "owner/name@v1.0:test": ("test", "v1.0"),
        "owner/name:train[:10%]": ("train[:10%]", "None"),
    }.items():
        dataset = read(name)
        assert tuple(turn["content"] for turn in dataset[0]["messages"]) == expected
        assert "empty" not in dataset[0]
    with pytest.raises(DataError, match=r"ConnectionError: gated.*HF_TOKEN"):
        read("owner/other")
    monkeypatch.setattr(sys.modules["datasets"], "__version__", "3.6.0")
    with pytest.raises(MissingDependency, match=r"3\.6\.0, .*script.*pip install -U 'datasets>=4'"):
        read("owner/name")
    monkeypatch.delitem(sys.modules, "datasets", raising=False)
