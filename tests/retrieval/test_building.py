"""An index kept in step with its documents."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import customize
from customize import Chunking, DataError, build_index, open_index, update_index
from customize.retrieval import building, index_folder
from customize.retrieval.chunking import estimated
from customize.retrieval.documents import reading
from customize.retrieval.documents.apart import Apart
from customize.retrieval.documents.folder import File

DOCS = {
    "menu.md": "# Menu\n\nThe margherita is 9 euros.\n\n## Drinks\n\nWater is free.",
    "hr/pay.md": "The cook earns 3000 euros.",
    "hours.txt": "We open at nine.",
    "access.yaml": '"hr/*": [hr]',
}


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    for name, text in DOCS.items():
        file = tmp_path / "docs" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path / "docs"


@pytest.fixture
def folder(tmp_path: Path, docs: Path) -> Path:
    build_index(docs, tmp_path / "index")
    return tmp_path / "index"


def found(folder: Path, query: str, *tags: str) -> list[str]:
    return [hit.chunk.document for hit in open_index(folder).search(query, 5, tags)]


def test_documents_are_found_by_what_they_say(tmp_path: Path, docs: Path) -> None:
    done = build_index(docs, tmp_path / "index")
    assert (done.num_documents, done.num_chunks, done.num_added) == (3, 3, 3)
    assert found(tmp_path / "index", "How much is a margherita?") == ["menu.md"]


def test_what_the_asker_may_not_see_is_not_found(folder: Path) -> None:
    assert found(folder, "cook earns euros") == ["menu.md"]
    assert found(folder, "cook earns euros", "hr") == ["hr/pay.md", "menu.md"]


def test_only_what_changed_is_read_and_indexed_again(
    folder: Path, docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (docs / "hours.txt").write_text("We open at ten.")
    (docs / "new.md").write_text("We deliver.")
    (docs / "menu.md").unlink()
    read = []
    documents = reading._documents

    def noted(file: File, content: bytes, apart: Apart) -> list[customize.Document]:
        read.append(file.id)
        return documents(file, content, apart)

    monkeypatch.setattr(reading, "_documents", noted)
    done = update_index(folder, docs)
    assert read == ["hours.txt", "new.md"]
    assert (done.num_documents, done.num_chunks, done.num_added) == (3, 3, 2)
    assert (done.num_deleted, done.num_unchanged) == (2, 1)
    assert found(folder, "margherita") == []
    assert found(folder, "nine") == []
    assert found(folder, "ten") == ["hours.txt"]


def test_an_updated_index_is_the_one_built_anew(folder: Path, docs: Path) -> None:
    (docs / "menu.md").write_text("# Menu\n\nNew.\n\n" + DOCS["menu.md"])
    (docs / "copy.md").write_text(DOCS["menu.md"])
    update_index(folder, docs)
    build_index(docs, folder.with_name("anew"))
    assert open_index(folder).fingerprint == open_index(folder.with_name("anew")).fingerprint
    facts = [
        json.loads((one / "index.json").read_text()) for one in (folder, folder.with_name("anew"))
    ]
    assert facts[0] == facts[1]


def test_a_change_of_access_alone_is_a_change(folder: Path, docs: Path) -> None:
    (docs / "access.yaml").write_text('"hr/*": [hr]\n"hours.txt": [staff]')
    update_index(folder, docs)
    assert found(folder, "open at nine") == []
    assert found(folder, "open at nine", "staff") == ["hours.txt"]


def test_without_changes_nothing_is_done(folder: Path, docs: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.glob("chunks-*/*")}
    done = update_index(folder, docs)
    assert (done.num_added, done.num_deleted, done.num_unchanged) == (0, 0, 3)
    assert {path: path.stat().st_mtime_ns for path in folder.glob("chunks-*/*")} == before


def test_an_update_that_fails_leaves_the_index_that_was_there(
    folder: Path, docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (docs / "menu.md").write_text("Only pasta.")
    with monkeypatch.context() as broken:
        broken.setattr(index_folder, "replace_text", lambda *given: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            update_index(folder, docs)
    assert found(folder, "margherita") == ["menu.md"]
    update_index(folder, docs)
    assert found(folder, "pasta") == ["menu.md"]
    assert len(list(folder.glob("chunks-*"))) == 1


def test_records_are_indexed_and_updated(tmp_path: Path) -> None:
    records: list[dict[str, object]] = [
        {"id": "a", "text": "The oven."},
        {"id": "b", "text": "The door.", "tags": ["x"]},
    ]
    build_index(records, tmp_path / "index")
    done = update_index(tmp_path / "index", [records[0], {"id": "b", "text": "The door."}])
    assert (done.num_added, done.num_deleted, done.num_unchanged) == (1, 1, 1)
    assert found(tmp_path / "index", "door") == ["b"]


def test_sensitive_data_is_told_before_anything_is_indexed(tmp_path: Path, docs: Path) -> None:
    (docs / "menu.md").write_text("Call ann@example.com.")
    lines: list[str] = []

    def report(line: str) -> None:
        assert not (tmp_path / "index").exists()
        lines.append(line)

    done = build_index(docs, tmp_path / "index", report=report)
    assert lines == ["personal: 1 x e-mail in 1 documents (menu.md line 1: a… (15 characters))"]
    assert [one.kind for one in done.findings] == ["e-mail"]


def test_sensitive_data_can_be_refused(tmp_path: Path, docs: Path) -> None:
    (docs / "menu.md").write_text("Call ann@example.com.")
    with pytest.raises(DataError, match="1 x e-mail in 1 documents"):
        build_index(docs, tmp_path / "index", on_sensitive="refuse")
    assert not (tmp_path / "index").exists()


def test_an_unreadable_file_is_refused_or_left_out(tmp_path: Path, docs: Path) -> None:
    (docs / "bad.txt").write_bytes(b"\xff")
    with pytest.raises(DataError, match=r"bad\.txt: byte 0"):
        build_index(docs, tmp_path / "index")
    assert not (tmp_path / "index").exists()
    done = build_index(docs, tmp_path / "index", on_unreadable="skip")
    assert [one.id for one in done.unreadable] == ["bad.txt"]


def test_an_empty_folder_is_refused_and_an_index_kept(folder: Path, docs: Path) -> None:
    shutil.rmtree(docs)
    docs.mkdir()
    with pytest.raises(DataError, match="holds no document"):
        update_index(folder, docs)
    assert found(folder, "margherita") == ["menu.md"]


def test_a_folder_that_holds_something_is_refused(folder: Path, docs: Path) -> None:
    with pytest.raises(
        DataError, match=r"is not empty: name a new folder, .*customize index update"
    ):
        build_index(docs, folder)


def test_options_are_kept_and_refused(tmp_path: Path, docs: Path) -> None:
    (docs / "menu.md").write_text("A sentence of some words. " * 50)
    build_index(docs, tmp_path / "index", chunking=Chunking(most_tokens=20))
    (docs / "new.md").write_text("A sentence of some words. " * 50)
    assert update_index(tmp_path / "index", docs).num_added > 10
    with pytest.raises(customize.OptionError, match="on_sensitive must be 'tell' or 'refuse'"):
        build_index(docs, tmp_path / "other", on_sensitive="no")  # type: ignore[arg-type]
    with pytest.raises(customize.UnknownName, match="index 'sqlight'; did you mean 'sqlite'"):
        build_index(docs, tmp_path / "other", index="sqlight")


def test_another_tokenizer_is_refused(
    folder: Path, docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(building, "counter", lambda chunking: (estimated, "another"))
    with pytest.raises(DataError, match="has changed: build it anew"):
        update_index(folder, docs)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "holds no index: make one with customize index build"),
        ("{", "is damaged"),
        ('{"version": 1}', "of another version"),
        ('{"version": 4}', "of another version"),
        ('{"version": 3, "chunking": {}}', "is damaged"),
        ("[]", "is damaged"),
    ],
)
def test_a_folder_that_is_no_index_is_refused(
    tmp_path: Path, content: str | None, reason: str
) -> None:
    if content is not None:
        (tmp_path / "index.json").write_text(content)
    with pytest.raises(DataError, match=reason):
        open_index(tmp_path)


def test_an_older_versions_index_is_made_anew_by_an_update(folder: Path, docs: Path) -> None:
    built = open_index(folder)
    [inside] = folder.glob("chunks-*")
    [file] = inside.iterdir()
    file.write_bytes(b"of tables that are no more")
    inside.rename(folder / f"chunks-{built.fingerprint[:16]}-words")
    told = json.loads((folder / "index.json").read_text())
    (folder / "index.json").write_text(json.dumps({**told, "version": 2}))
    with pytest.raises(DataError, match=f"with customize index update {folder} DOCUMENTS"):
        open_index(folder)
    done = update_index(folder, docs)
    assert (done.num_added, done.num_unchanged) == (len(built), 0)
    assert found(folder, "cook earns euros", "hr") == ["hr/pay.md", "menu.md"]
    assert len(list(folder.glob("chunks-*"))) == 1


def test_an_index_that_is_not_the_one_told_of_is_refused(folder: Path, tmp_path: Path) -> None:
    build_index([{"text": "other"}], tmp_path / "other")
    [inside], [other] = folder.glob("chunks-*"), (tmp_path / "other").glob("chunks-*")
    shutil.rmtree(inside)
    shutil.copytree(other, inside)
    with pytest.raises(DataError, match="is not the index that"):
        open_index(folder)
