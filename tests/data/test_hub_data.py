"""Hub data sets, by the package datasets itself: folders laid out as on the hub, no network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import customize
from customize import DataError

datasets = pytest.importorskip("datasets")

CALL = {"type": "function", "function": {"name": "look", "arguments": {"at": "map"}}}
ROWS: dict[str, list[dict[str, Any]]] = {
    "train": [{"prompt": f"Question {i}?", "completion": f"Answer {i}."} for i in range(5)],
    "test": [{"prompt": "Open?", "completion": "Yes."}],
}


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory holds the data set ``acme/shop``; nothing is cached elsewhere."""
    folder = tmp_path / "acme" / "shop"
    folder.mkdir(parents=True)
    for split, rows in ROWS.items():
        (folder / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    return folder


def answers(rows: customize.Dataset) -> list[str]:
    return [rows[i]["messages"][-1]["content"] for i in range(len(rows))]


def test_a_split_is_read_by_its_name() -> None:
    rows = customize.read("acme/shop:test")
    assert answers(rows) == ["Yes."]
    assert rows.describe().startswith("acme/shop:test: 1 chat row from prompt/completion")


def test_a_part_of_a_split_is_read() -> None:
    assert answers(customize.read("acme/shop:train[1:3]")) == ["Answer 1.", "Answer 2."]


def test_rows_of_the_package_are_rows_of_ours() -> None:
    folder = str(Path("acme", "shop"))
    given = datasets.load_dataset(folder, split="train")
    streamed = datasets.load_dataset(folder, split="train", streaming=True)
    expected = [row["completion"] for row in ROWS["train"]]
    assert answers(customize.read(given)) == expected
    assert answers(customize.read(streamed)) == expected
    assert customize.read(given).fingerprint == customize.read(streamed).fingerprint


def test_nulls_that_arrow_fills_in_are_no_arguments_of_a_call() -> None:
    other = {"type": "function", "function": {"name": "wait", "arguments": {"minutes": 3}}}
    asked = {"role": "user", "content": "Where?"}
    given = [
        [asked, {"role": "assistant", "content": "", "tool_calls": [call]}]
        for call in (CALL, other)
    ]
    # One struct for both rows, as a Parquet file on the hub has it.
    text = datasets.Value("string")
    arguments = {"at": text, "minutes": datasets.Value("int64")}
    call = {"type": text, "function": {"name": text, "arguments": arguments}}
    message = {"role": text, "content": text, "tool_calls": [call]}
    features = datasets.Features({"messages": [message]})
    made = datasets.Dataset.from_list([{"messages": m} for m in given], features=features)
    assert made[0]["messages"][1]["tool_calls"][0]["function"]["arguments"]["minutes"] is None
    assert [row["messages"] for row in customize.read(made)] == given


def test_several_splits_at_once_are_refused_with_their_names() -> None:
    both = datasets.load_dataset(str(Path("acme", "shop")))
    with pytest.raises(DataError, match=r"give one of its splits, \['train'\], \['test'\]"):
        customize.read(both)


@pytest.mark.parametrize(
    ("name", "fault"),
    [("acme/shop:dev", "Unknown split"), ("acme/none", "acme/none")],
)
def test_what_cannot_be_had_is_said_with_the_packages_reason(name: str, fault: str) -> None:
    with pytest.raises(DataError, match=f"(?s)the hub data set '{name}' cannot be had: .*{fault}"):
        customize.read(name)


def test_a_folder_of_that_name_is_a_folder() -> None:
    with pytest.raises(DataError, match=r"is a folder; name a file in it: test\.jsonl, train\.j"):
        customize.read("acme/shop")
