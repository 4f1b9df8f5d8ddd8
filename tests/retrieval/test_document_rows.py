"""Documents as rows of a data set, checked and back again, and an index of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import customize
from customize import Chunking, DataError, Document, Heading
from customize.retrieval.document_rows import documents_in, row_of

SPOKEN = Document(
    "a/hours.md",
    "# Hall\n\nWe open at 9 am.\n\n## Code\n\nIt is 4711.\n",
    ["staff"],
    (Heading(1, "Hall", 0), Heading(2, "Code", 26)),
)
PLAIN = Document("b.txt", "The pool is blue.")


def test_documents_are_rows_and_rows_the_same_documents() -> None:
    rows = customize.read([row_of(one) for one in (SPOKEN, PLAIN)])
    assert rows.kind == "documents"
    assert list(documents_in(rows)) == [SPOKEN, PLAIN]


def test_a_title_is_the_heading_of_a_row_that_has_none() -> None:
    rows = customize.read([{"id": "a", "title": "Pool", "text": "It is blue."}])
    assert [one.headings for one in documents_in(rows)] == [(Heading(1, "Pool", 0),)]


def test_an_index_of_rows_is_that_of_the_documents() -> None:
    rows = customize.read([row_of(one) for one in (SPOKEN, PLAIN)])
    chunking = Chunking(most_tokens=16)
    assert (
        customize.index_of(rows, chunking).fingerprint
        == customize.index_of([SPOKEN, PLAIN], chunking).fingerprint
    )
    [hit] = customize.index_of(rows).search("which code", 5, {"staff"})
    assert hit.chunk.document == "a/hours.md"
    assert customize.index_of(rows).search("which code", 5) == []


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"id": 3, "text": "a"}, "id must be text, not a number"),
        ({"id": "", "text": "a"}, "id is empty"),
        ({"id": "a", "text": " "}, "'a' holds no text"),
        ({"id": "a", "text": "b", "tags": "staff"}, "tags must be a list"),
        ({"id": "a", "text": "b", "tags": [1]}, "tags must be a list"),
        ({"id": "a", "text": "b", "headings": [{"title": "c"}]}, "headings must read"),
    ],
)
def test_a_row_that_is_no_document_is_told(row: dict[str, Any], told: str) -> None:
    with pytest.raises(DataError, match=told):
        customize.read([row, {"id": "b", "text": "b"}], kind="documents")


def test_a_file_of_documents_can_be_audited(tmp_path: Path) -> None:
    file = tmp_path / "documents.jsonl"
    file.write_text('{"id": "a", "text": "Write to anna.smith@example.org."}\n', "utf-8")
    found = customize.audit(file)
    assert any("e-mail" in finding.kind for finding in found.findings)


def test_a_folder_is_rows_after_telling_what_was_not_read_and_what_is_sensitive(
    tmp_path: Path,
) -> None:
    (tmp_path / "hours.md").write_text("# Hall\n\nWrite to anna.smith@example.org.\n", "utf-8")
    (tmp_path / "photo.xyz").write_bytes(b"\x00")
    (tmp_path / "broken.md").write_bytes(b"\xff\xfe\xff")
    told: list[str] = []
    [row] = customize.document_rows(tmp_path, "skip", told.append)
    assert (row["id"], row["headings"][0]["title"]) == ("hours.md", "Hall")
    assert any("broken.md" in line for line in told)
    assert any("photo.xyz" in line for line in told)
    assert any("e-mail" in line and "anna.smith" not in line for line in told)
