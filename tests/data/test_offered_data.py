"""Data sets and file formats that plugins offer, by small plugins installed for the test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import customize
from customize import DataError, PluginError, UnknownName
from customize.plugins import listing

Install = Callable[[str, str], None]

CHAT = [{"role": "user", "content": "Open?"}, {"role": "assistant", "content": "Yes."}]
SHOP = """
import customize
from customize import DatasetSpec, ReaderSpec

CHAT = [{"role": "user", "content": "Open?"}, {"role": "assistant", "content": "Yes."}]

@customize.hookimpl
def customize_datasets():
    yield DatasetSpec(name="shop", target=f"{__name__}:rows", summary="Rows of a shop.")
    yield DatasetSpec(name="filed", target=f"{__name__}:filed", summary="The same, in a file.")
    yield DatasetSpec(name="torn", target=f"{__name__}:torn", summary="Cannot be made.")

@customize.hookimpl
def customize_readers():
    yield ReaderSpec(
        name="talk", target=f"{__name__}:read", suffixes={".talk"}, summary="Question|answer."
    )

def rows():
    return ({"messages": CHAT} for _ in range(3))

def filed():
    import json, pathlib
    file = pathlib.Path(__file__).with_name("shop.jsonl")
    file.write_text(json.dumps({"messages": CHAT}))
    return str(file)

def torn():
    raise RuntimeError("the shelf is empty")

def read(path):
    for line in path.read_text().splitlines():
        question, answer = line.split("|")
        yield {"prompt": question, "completion": answer}
"""


def test_a_data_set_is_read_by_its_name(install: Install) -> None:
    install("acme-shop", SHOP)
    rows = customize.read("shop")
    assert [row["messages"] for row in rows] == [CHAT] * 3
    assert rows.describe().startswith("shop: 3 chat rows from OpenAI messages")
    assert customize.read("acme-shop:shop", kind="prompt")[0]["messages"] == CHAT[:1]


def test_a_data_set_may_be_a_file(install: Install) -> None:
    install("acme-shop", SHOP)
    assert customize.read("filed")[0]["messages"] == CHAT


def test_a_file_is_read_by_the_reader_of_its_suffix(install: Install, tmp_path: Path) -> None:
    install("acme-shop", SHOP)
    file = tmp_path / "rows.TALK"
    file.write_text("Open?|Yes.\nOpen now?|No.\n")
    rows = customize.read(file)
    assert rows.format == "prompt-completion"
    assert [row["messages"][1]["content"] for row in rows] == ["Yes.", "No."]


def test_a_bad_row_of_a_plugin_is_named_by_its_number(install: Install, tmp_path: Path) -> None:
    install("acme-shop", SHOP)
    file = tmp_path / "rows.talk"
    file.write_text("Open?|Yes.\nOpen now?|\n")
    with pytest.raises(DataError, match="line 2: empty answer"):
        customize.read(file)


def test_a_file_there_is_wins_over_a_name(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("acme-shop", SHOP)
    monkeypatch.chdir(tmp_path)
    Path("shop").write_text('{"prompt": "Open?", "completion": "Yes."}\n')
    assert len(customize.read("shop")) == 1
    assert len(customize.read("acme-shop:shop")) == 3


def test_failing_code_is_named_with_the_plugin(install: Install, tmp_path: Path) -> None:
    install("acme-shop", SHOP)
    with pytest.raises(PluginError, match="'torn' fails: RuntimeError: the shelf is empty"):
        customize.read("torn")
    file = tmp_path / "rows.talk"
    file.write_text("no answer\n")
    with pytest.raises(DataError, match=r"rows.talk: the reader 'talk' fails: ValueError: not eno"):
        customize.read(file)


def test_a_name_that_is_neither_suggests_the_nearest(install: Install) -> None:
    install("acme-shop", SHOP)
    with pytest.raises(UnknownName, match=r"no file shopp.*did you mean 'shop'"):
        customize.read("shopp")


def test_two_plugins_with_one_name_or_suffix_raise_on_use(install: Install, tmp_path: Path) -> None:
    install("acme-shop", SHOP)
    install("other-shop", SHOP)
    with pytest.raises(UnknownName, match="use 'acme-shop:shop' or 'other-shop:shop'"):
        customize.read("shop")
    file = tmp_path / "rows.talk"
    file.write_text("Open?|Yes.\n")
    with pytest.raises(UnknownName, match=r"2 plugins read \.talk files \(acme-shop:talk, other-"):
        customize.read(file)


@pytest.mark.parametrize(
    ("suffixes", "fault"),
    [
        ({".csv"}, "read by customize itself"),
        ({"talk"}, "a dot and lower case letters"),
        (set(), "at least one suffix"),
    ],
)
def test_a_suffix_that_cannot_be_taken_is_the_plugins_fault(
    install: Install, suffixes: set[str], fault: str
) -> None:
    install("acme-shop", SHOP.replace('{".talk"}', repr(suffixes)))
    row = next(row for row in listing() if row.distribution == "acme-shop")
    assert fault in str(row.error)


@pytest.mark.parametrize("suffix", [".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet"])
def test_the_cores_own_suffixes_are_all_kept_from_plugins(suffix: str) -> None:
    from customize.data.reading import _LINES, _TABLES
    from customize.plugins.specs import CORE_SUFFIXES

    assert suffix in CORE_SUFFIXES
    assert {*_LINES, *_TABLES} == CORE_SUFFIXES
