"""Folders, files and records as documents: what is said, under which heading, for whom."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from document_files import docx, paragraph, pdf

import customize
from customize import DataError, Document, OptionError, read_documents


def write(folder: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def read_one(folder: Path, name: str, content: str | bytes) -> Document:
    [document] = read_documents(write(folder, {name: content})).documents
    assert document.id == name
    return document


def headed(document: Document) -> list[tuple[int, str, str]]:
    """Level, title and the text that begins there."""
    return [(h.level, h.title, document.text[h.start :][:12]) for h in document.headings]


def test_markdown_is_its_text_and_its_headings(tmp_path: Path) -> None:
    first = "# Shop #\n\nIntro\n\n```sh\n# no heading\n```\n\n"
    text = first + "Hours\n-----\nFrom nine.\n\n###Not\n### Late\n"
    document = read_one(tmp_path, "a.md", text)
    assert document.text == text
    assert headed(document) == [
        (1, "Shop", "# Shop #\n\nIn"),
        (2, "Hours", "Hours\n-----\n"),
        (3, "Late", "### Late\n"),
    ]


def test_a_list_a_rule_and_a_table_are_no_headings(tmp_path: Path) -> None:
    text = "- item\n---\n\n---\n\n| a | b |\n|---|---|\n\nlast\n\n---\n"
    assert read_one(tmp_path, "a.md", text).headings == ()


def test_line_ends_and_marks_of_encodings_are_taken_away(tmp_path: Path) -> None:
    write(tmp_path, {"a.txt": b"\xef\xbb\xbfone\r\ntwo\0three\r"})
    write(tmp_path, {"b.txt": "é\n".encode("utf-16")})
    assert [d.text for d in read_documents(tmp_path).documents] == ["one\ntwo three\n", "é\n"]


def test_html_is_what_a_reader_sees(tmp_path: Path) -> None:
    page = """<!DOCTYPE html><html><head><title>T</title><style>p {}</style></head><body>
    <script>alert("never")</script><h1>The <em>shop</em></h1><p>Open &amp; ready<br>from
      nine.</p><h2>Prices</h2><table><tr><th>A</th><td>10&nbsp;&euro;</td></tr>
    <tr><td>B</td><td>20</td></tr></table><ul><li>one<li>two</ul><noscript>no</noscript></body>"""
    document = read_one(tmp_path, "a.html", page)
    assert document.text == (
        "The shop\n\nOpen & ready\n\nfrom nine.\n\nPrices\n\n| A | 10 €\n\n| B | 20\n\none\n\ntwo"
    )
    assert headed(document) == [(1, "The shop", "The shop\n\nOp"), (2, "Prices", "Prices\n\n| A ")]


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<html><head><title>T</title><body><h1>A</h1><p>one", "A\n\none"),
        ("<title>T</title><p>one", "one"),
        ("<head><title>T</title><style>p {}</style><p>one", "one"),
        ("<head><script>'</head>'</script><body>one", "one"),
        ("one<svg><text>no</text><p>two", "one\n\ntwo"),
        ("one<svg><g><path/><text>no</text></g></svg> two", "one two"),
        ("<svg><p>one</p><svg><text>no</text></svg>two", "one\n\ntwo"),
        ("<noscript>one<p>two", "one\n\ntwo"),
        ("<noscript><p>no</p></noscript><p>one", "one"),
        ("<math><p>one", "one"),
        ("<template><p>no</template><template>one", "one"),
        ("one<script>no", "one"),
    ],
)
def test_html_that_leaves_ends_out_is_read(tmp_path: Path, page: str, text: str) -> None:
    assert read_one(tmp_path, "a.html", page).text == text


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<p hidden>no</p><p>one", "one"),
        ("<p hidden>no<p>one", "one"),
        ("<p hidden>no<b>no</i>no</p>one", "one"),
        ('<p HIDDEN="until-found">no<div>one', "one"),
        ('<div style="display:none">no<div>no</div></span>no</div>one', "one"),
        ('<div style="color: red; Display : NONE !important">no</div>one', "one"),
        ('<span style="visibility:hidden">no</span>one', "one"),
        ("one <span hidden>no<br>no</span>two", "one two"),
        ("<ul><li>one<li hidden>no<ul><li>no</ul>no<li>two</ul>", "one\n\ntwo"),
        ("<dl><dt hidden>no<dd>one</dl>", "one"),
        ("<table><tr><td>one<td hidden>no<td>two<tr hidden><td>no<tr><td>3", "| one | two\n\n| 3"),
        ("one<h2 hidden>no</h2><h2>two</h2>", "one\n\ntwo"),
        ("<div>one<p hidden>no</div>two", "one\n\ntwo"),
        ("<section hidden>no<svg><p>no</section>one", "one"),
        ("<p hidden>no<img><input>no</p>one<p>two<hr>", "one\n\ntwo"),
        ('<p style="display:block" title="hidden" aria-hidden="true">one', "one"),
    ],
)
def test_html_that_is_hidden_is_not_read(tmp_path: Path, page: str, text: str) -> None:
    assert read_one(tmp_path, "a.html", page).text == text


def test_what_is_hidden_is_no_heading(tmp_path: Path) -> None:
    page = "one<h1 hidden>no</h1><h2>Two <span hidden>no</span></h2>three"
    assert headed(read_one(tmp_path, "a.html", page)) == [(2, "Two", "Two\n\nthree")]


def test_html_declares_its_encoding(tmp_path: Path) -> None:
    page = '<meta charset="windows-1252"><p>10 €, caf\u00e9</p>'.encode("cp1252")
    assert read_one(tmp_path, "a.htm", page).text == "10 €, café"


def test_docx_has_headings_by_style_in_any_language_and_tables(tmp_path: Path) -> None:
    cells = "".join(f"<w:tc>{paragraph(text)}</w:tc>" for text in ("Basil", "3 €"))
    deleted = "<w:p><w:del><w:r><w:delText>gone</w:delText></w:r></w:del></w:p>"
    body = (
        paragraph("Herbs", "berschrift1")
        + paragraph("All of them.")
        + paragraph("Prices", "Own")
        + f"<w:tbl><w:tr>{cells}</w:tr></w:tbl>{deleted}"
    )
    document = read_one(tmp_path, "a.docx", docx(body))
    assert document.text == "Herbs\n\nAll of them.\n\nPrices\n\nBasil | 3 € |"
    assert headed(document) == [(1, "Herbs", "Herbs\n\nAll o"), (2, "Prices", "Prices\n\nBasi")]


def test_pdf_is_read_page_by_page(tmp_path: Path) -> None:
    pytest.importorskip("pypdf")
    document = read_one(tmp_path, "a.pdf", pdf(["The oven is hot.", "The door is open."]))
    assert document.text == "The oven is hot.\n\nThe door is open."
    assert headed(document) == [(1, "Page 1", "The oven is "), (1, "Page 2", "The door is ")]


def test_a_pdf_without_text_says_what_it_lacks(tmp_path: Path) -> None:
    pytest.importorskip("pypdf")
    write(tmp_path, {"a.pdf": pdf([""]), "b.txt": "text"})
    with pytest.raises(DataError, match="its pages hold no text: recognise it"):
        read_documents(tmp_path)


def test_pdf_without_pypdf_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "modules", {"pypdf.py": "raise ImportError"})
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    write(tmp_path / "docs", {"a.pdf": pdf(["text"])})
    with pytest.raises(customize.MissingDependency, match=r"pip install 'customize\[pdf\]'"):
        read_documents(tmp_path / "docs")


def test_folders_within_are_read_and_hidden_and_unknown_files_are_not(tmp_path: Path) -> None:
    write(
        tmp_path, {"a/b/c.md": "text", "a.PY": "x = 1", ".git/config.txt": "no", "p.png": b"\x89"}
    )
    corpus = read_documents(tmp_path)
    assert [document.id for document in corpus.documents] == ["a.PY", "a/b/c.md"]
    assert corpus.left_out == ("p.png",)


BAD: dict[str, tuple[str | bytes, str]] = {
    "latin.txt": ("café".encode("latin-1"), "byte 3 is not utf-8: save it as UTF-8"),
    "empty.md": (" \n", "it holds no text"),
    "a.docx": (b"PK nonsense", "it is no DOCX file, or damaged"),
    "b.docx": (b"", "it is no DOCX file, or damaged"),
}


@pytest.mark.parametrize("name", BAD)
def test_an_unreadable_file_is_named_and_refused_or_skipped(tmp_path: Path, name: str) -> None:
    content, reason = BAD[name]
    write(tmp_path, {name: content, "good.txt": "text"})
    with pytest.raises(DataError, match=f"  {name}: {reason}"):
        read_documents(tmp_path)
    corpus = read_documents(tmp_path, on_unreadable="skip")
    assert [document.id for document in corpus.documents] == ["good.txt"]
    assert [(one.id, one.reason.startswith(reason)) for one in corpus.unreadable] == [(name, True)]


@pytest.mark.parametrize("files", [{}, {"a.png": b"\x89"}, {"empty.md": ""}])
def test_a_folder_without_documents_is_refused(
    tmp_path: Path, files: dict[str, str | bytes]
) -> None:
    with pytest.raises(DataError, match="holds no document"):
        read_documents(write(tmp_path, files), on_unreadable="skip")


def test_a_source_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no file or folder"):
        read_documents(tmp_path / "nowhere")
    write(tmp_path, {"a.md": "text"})
    with pytest.raises(DataError, match="no folder of documents, nor a"):
        read_documents(tmp_path / "a.md")


def test_options_that_are_none_are_refused() -> None:
    with pytest.raises(OptionError, match="on_unreadable must be 'refuse' or 'skip'"):
        read_documents([{"text": "a"}], on_unreadable="ignore")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="timeout_s must be > 0"):
        read_documents([{"text": "a"}], timeout_s=0)


def test_records_are_documents(tmp_path: Path) -> None:
    records: list[dict[str, object] | Document] = [
        {"text": "one"},
        {"text": "two\r\n", "id": "b", "title": "B", "tags": ["hr"]},
        Document("c", "three"),
    ]
    first, second, third = read_documents(records).documents
    assert (first.id, first.text, first.tags) == ("record 1", "one", frozenset())
    assert (second.id, second.text, second.tags) == ("b", "two\n", frozenset({"hr"}))
    assert headed(second) == [(1, "B", "two\n")]
    assert third == records[2]


def test_a_file_of_records_is_read_by_line(tmp_path: Path) -> None:
    write(tmp_path, {"a.jsonl": '{"text": "one"}\n\n{"text": "two"}\n'})
    documents = read_documents(tmp_path / "a.jsonl").documents
    assert [document.id for document in documents] == ["a.jsonl line 1", "a.jsonl line 3"]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ('{"text": 1}', "text is not a string"),
        ('{"id": "a"}', "it holds no text"),
        ('{"text": "a", "tag": "hr"}', "unknown key 'tag'"),
        ('{"text": "a", "tags": "hr"}', "tags is not a list of texts"),
        ('{"text": "a", "tags": [""]}', "tags is not a list of texts"),
        ('["text"]', "not an object"),
        ("{", "not JSON"),
        ('{"text": "a", "id": "twice"}\n{"text": "b", "id": "twice"}', "'twice' is another's too"),
    ],
)
def test_a_bad_record_is_named(tmp_path: Path, record: str, reason: str) -> None:
    write(tmp_path, {"a.jsonl": record})
    with pytest.raises(DataError, match=rf"a.jsonl line \d: .*{reason}"):
        read_documents(tmp_path / "a.jsonl")


def test_half_a_character_is_refused() -> None:
    with pytest.raises(DataError, match="half a character"):
        read_documents([{"text": "a\ud800"}])
    with pytest.raises(DataError, match="half a character"):
        read_documents([Document("a", "a\udfff")])


def test_secrets_and_personal_data_are_found_and_masked(tmp_path: Path) -> None:
    write(tmp_path, {"a.md": "# Us\n\nCall Ann: ann@example.com\nkey AKIAIOSFODNN7EXAMPLE\n"})
    found = read_documents(tmp_path).findings
    assert {(f.where, f.line, f.group, f.kind) for f in found} == {
        ("a.md", 3, "personal", "e-mail"),
        ("a.md", 4, "secret", "AWS access key"),
    }
    assert not any("ann@" in f.masked or "AKIAIOSF" in f.masked for f in found)


ACCESS = """
"hr/*": [hr, board]
"hr/handbook.md": []
"*.py": [dev]
"""


def test_access_says_who_may_see_what(tmp_path: Path) -> None:
    files = {
        "hr/pay.md": "a",
        "hr/deep/er.md": "b",
        "hr/handbook.md": "c",
        "x/y.py": "d",
        "z.md": "e",
    }
    write(tmp_path, {**files, "access.yaml": ACCESS})
    assert {d.id: set(d.tags) for d in read_documents(tmp_path).documents} == {
        "hr/pay.md": {"hr", "board"},
        "hr/deep/er.md": {"hr", "board"},
        "hr/handbook.md": set(),
        "x/y.py": {"dev"},
        "z.md": set(),
    }


@pytest.mark.parametrize(
    ("access", "reason"),
    [
        ('"hr/*": [hr]\n"nothing/*": [x]', "'nothing/\\*' fits no file"),
        ('"hr/*": hr', "a pattern and its tags a line"),
        ('"hr/*": [1]', "a pattern and its tags a line"),
        ('"hr/*": [hr]\n"hr/*": []', "one pattern twice"),
        ("- hr", "a pattern and its tags a line"),
        ("", "a pattern and its tags a line"),
        ("{", "cannot be read"),
        ('"hr/*": !!python/name:os.system []', "cannot be read"),
    ],
)
def test_what_may_not_protect_is_refused(tmp_path: Path, access: str, reason: str) -> None:
    write(tmp_path, {"hr/pay.md": "a", "access.yaml": access})
    with pytest.raises(DataError, match=reason):
        read_documents(tmp_path, on_unreadable="skip")


@pytest.mark.parametrize(
    "name", ["hr/access.yaml", "hr/deep/access.yml", "access.yml", "Access.YAML"]
)
def test_what_says_who_may_see_where_nobody_looks_is_refused(tmp_path: Path, name: str) -> None:
    write(tmp_path, {"hr/pay.md": "a", "access.yaml": '"hr/*": [hr]', name: '"*": [hr]'})
    with pytest.raises(DataError, match=f"{name} protects nothing: .*{tmp_path}/access.yaml"):
        read_documents(tmp_path, on_unreadable="skip")


def test_access_that_links_to_nothing_is_refused(tmp_path: Path) -> None:
    write(tmp_path, {"hr/pay.md": "a"})
    (tmp_path / "access.yaml").symlink_to("nowhere")
    with pytest.raises(DataError, match=r"access\.yaml cannot be read"):
        read_documents(tmp_path, on_unreadable="skip")


def test_a_plugin_reads_further_formats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def records(path: Path) -> Iterator[tuple[int, object]]:
        yield from enumerate([{"text": text} for text in path.read_text().split("==")], start=1)

    reading = "customize.retrieval.documents.reading.reader_of"
    monkeypatch.setattr(reading, lambda suffix: records if suffix == ".pages" else None)
    write(tmp_path, {"a.pages": "one==two", "access.yaml": '"*": [hr]'})
    documents = read_documents(tmp_path).documents
    assert [(d.id, d.text, set(d.tags)) for d in documents] == [
        ("a.pages#1", "one", {"hr"}),
        ("a.pages#2", "two", {"hr"}),
    ]


@pytest.fixture
def pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a file of records, which those tagged hr and board may see."""

    def records(path: Path) -> Iterator[tuple[int, object]]:
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            text, *tags = line.split()
            record: dict[str, object] = {"text": text, "tags": tags}
            yield number, Document("a", text, frozenset(tags)) if text == "made" else record

    reading = "customize.retrieval.documents.reading.reader_of"
    monkeypatch.setattr(reading, lambda suffix: records if suffix == ".pages" else None)
    return write(tmp_path, {"access.yaml": '"*": [hr, board]'})


def test_a_records_tags_and_its_files_both_hold(pages: Path) -> None:
    write(pages, {"a.pages": "open\nnarrow board staff\nmade board\nmade"})
    assert [(d.text, set(d.tags)) for d in read_documents(pages).documents] == [
        ("open", {"hr", "board"}),
        ("narrow", {"board"}),
        ("made", {"board"}),
        ("made", {"hr", "board"}),
    ]


@pytest.mark.parametrize("text", ["lost", "made"])
def test_a_record_whose_tags_are_none_of_its_files_is_refused(pages: Path, text: str) -> None:
    write(pages, {"a.pages": f"{text} staff"})
    told = r"a\.pages: its tags \(staff\) are none of those that its file takes \(board, hr\)"
    with pytest.raises(DataError, match=told):
        read_documents(pages)


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    write(tmp_path, {"a.md": "text", "b.md": "text"})
    os.remove(tmp_path / "b.md")
    os.symlink("nowhere", tmp_path / "b.md")
    with pytest.raises(DataError, match=r"b\.md: it is no file"):
        read_documents(tmp_path)
