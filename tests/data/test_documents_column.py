"""Rows with documents: any format may bring them, and what is none is a fault of its row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import customize
from customize import DataError
from customize.data import audit

CHAT = [{"role": "user", "content": "Open?"}, {"role": "assistant", "content": "Yes."}]
DOCUMENTS = [{"title": "Hours", "text": "Open on Mondays."}]


@pytest.mark.parametrize(
    "row",
    [
        {"messages": CHAT},
        {"conversations": [{"from": "human", "value": "Open?"}, {"from": "gpt", "value": "Yes."}]},
        {"instruction": "Open?", "output": "Yes."},
        {"prompt": "Open?", "completion": "Yes."},
        {"prompt": "Open?"},
        {"prompt": "Open?", "chosen": "Yes.", "rejected": "No."},
    ],
)
def test_every_format_keeps_the_documents_of_its_rows(row: dict[str, Any]) -> None:
    assert customize.read([{**row, "documents": DOCUMENTS}])[0]["documents"] == DOCUMENTS


def test_documents_are_counted_as_such() -> None:
    told = [customize.read([{"id": str(n), "text": "Yes."} for n in range(k)]) for k in (1, 2)]
    assert [rows.describe().split(", sha256")[0] for rows in told] == [
        "the list of rows: 1 document",
        "the list of rows: 2 documents",
    ]


def test_a_table_keeps_documents_as_a_json_string(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    listed = json.dumps(DOCUMENTS).replace('"', '""')
    file.write_text(f'prompt,completion,documents\nOpen?,Yes.,"{listed}"\nOpen?,No.,\n')
    with_documents, without = customize.read(file)
    assert with_documents["documents"] == DOCUMENTS
    assert "documents" not in without


@pytest.mark.parametrize(
    ("documents", "fault"),
    [
        ("Open on Mondays.", "not JSON"),
        ({"text": "Open"}, "documents must be a list of objects, like"),
        (["Open on Mondays."], "documents must be a list of objects, like"),
        ([{"text": "Open"}, {}], r"empty document \(documents\[1\] holds no text, like"),
        ([{"text": "  "}], "empty document"),
        ([{"id": 7}], "empty document"),
    ],
)
def test_what_is_no_document_is_a_fault_of_its_row(documents: object, fault: str) -> None:
    with pytest.raises(DataError, match=f"line 2: .*{fault}"):
        customize.read([{"messages": CHAT}, {"messages": CHAT, "documents": documents}])


def test_an_empty_list_of_documents_is_none() -> None:
    assert "documents" not in customize.read([{"messages": CHAT, "documents": []}])[0]


def test_rows_that_differ_in_their_documents_are_no_exact_duplicates() -> None:
    rows = [{"messages": CHAT, "documents": [{"text": text}]} for text in ("a", "b", "a")]
    assert audit(rows).exact_duplicates == ((1, 3),)
