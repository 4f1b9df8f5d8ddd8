"""Files that are made to harm who reads them: nothing is fetched, run, written or waited for."""

from __future__ import annotations

import io
import os
import socket
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from document_files import archive, docx, paragraph, pdf, pdf_of

from customize import DataError, read_documents
from customize.retrieval.documents import docx as docx_format
from customize.retrieval.documents import formats


@pytest.fixture
def server() -> Iterator[tuple[str, list[bytes]]]:
    """An address on this machine, and what was asked of it."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def listen() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    asked.append(connection.recv(1000))

        threading.Thread(target=listen, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", asked
        listening.shutdown(socket.SHUT_RDWR)


def read(folder: Path, name: str, content: bytes, timeout_s: float = 30) -> str:
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(content)
    [document] = read_documents(folder, timeout_s=timeout_s).documents
    return document.text


def test_html_fetches_and_runs_nothing(tmp_path: Path, server: tuple[str, list[bytes]]) -> None:
    url, asked = server
    page = f"""<html><head><link rel=stylesheet href="{url}/a"><base href="{url}">
    <meta http-equiv=refresh content="0;url={url}/b"><script src="{url}/c"></script></head><body>
    <img src="{url}/d" onerror="fetch('{url}/e')"><iframe src="{url}/f">inner</iframe>
    <object data="{url}/g">inner</object><script>fetch("{url}/h")</script>
    <p>Seen</p></body></html>"""
    assert read(tmp_path, "a.html", page.encode()) == "Seen"
    assert not asked


def test_docx_fetches_nothing(tmp_path: Path, server: tuple[str, list[bytes]]) -> None:
    url, asked = server
    entity = f'<!DOCTYPE d [<!ENTITY x SYSTEM "{url}/a">]>'
    with pytest.raises(DataError, match="declares a document type"):
        read(tmp_path, "a.docx", docx(paragraph("text"), before=entity))
    assert not asked


def test_pdf_fetches_and_runs_nothing(tmp_path: Path, server: tuple[str, list[bytes]]) -> None:
    pytest.importorskip("pypdf")
    url, asked = server
    action = f"/OpenAction << /S /URI /URI ({url}/a) /Next << /S /Launch /F ({url}/b) >> >>"
    assert read(tmp_path, "a.pdf", pdf(["Seen"], action)) == "Seen"
    assert not asked


LAUGHS = "<!DOCTYPE d [<!ENTITY a 'ha'>" + "".join(
    f"<!ENTITY {after} '{f'&{before};' * 10}'>"
    for before, after in zip("abcdefghij", "bcdefghijk", strict=True)
) + "]>"  # fmt: skip


def test_entities_that_grow_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="declares a document type"):
        read(tmp_path, "a.docx", docx("<w:p><w:r><w:t>&k;</w:t></w:r></w:p>", before=LAUGHS))


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    bomb = docx(paragraph(" " * (docx_format.MOST_UNPACKED + 1)))
    assert len(bomb) < docx_format.MOST_UNPACKED / 500
    with pytest.raises(DataError, match="unpacks to more than 64 MiB"):
        read(tmp_path, "a.docx", bomb)


@pytest.mark.parametrize(
    "members",
    [
        {"word/document.xml": b"<w:document"},
        {"word/document.xml": b"\xff\xfe\x00"},
        {"other.xml": b"<a/>"},
        {"word/document.xml": b"<a/>", "word/styles.xml": b"<"},
    ],
)
def test_a_damaged_docx_is_named(tmp_path: Path, members: dict[str, bytes]) -> None:
    with pytest.raises(DataError, match=r"a\.docx: it"):
        read(tmp_path, "a.docx", archive(members))


def test_elements_within_elements_without_end_are_read(tmp_path: Path) -> None:
    deep = 200_000
    nested = "<w:sdt>" * deep + paragraph("within") + "</w:sdt>" * deep
    assert read(tmp_path / "docx", "a.docx", docx(nested)) == "within"
    page = "<div>" * deep + "within" + "</div>" * deep
    assert read(tmp_path / "html", "a.html", page.encode()) == "within"
    wide = deep // 4
    page = "<li><ul>" + "<div>" * wide + "<dd></dd><li></li>" * wide + "</p>" * wide + "<p>within"
    assert read(tmp_path / "ends", "a.html", page.encode()) == "within"


@pytest.mark.parametrize(
    "piece", ["<", "<!", "<![", "<!--", "<a ", "<a b='", "</", "&", "<script>", "<![CDATA[", "<?"]
)
def test_html_that_is_slow_to_read_ends(tmp_path: Path, piece: str) -> None:
    (tmp_path / "a.html").write_text(piece * 300_000 + "x")
    (tmp_path / "b.txt").write_text("text")
    corpus = read_documents(tmp_path, on_unreadable="skip", timeout_s=1)
    reasons = [one.reason for one in corpus.unreadable]
    assert len(corpus.documents) + len(reasons) == 2
    known = ("it holds no text", "it is damaged", "reading it takes more than 1 s")
    assert all(told.startswith(known) for told in reasons)


CATALOG = b"<< /Type /Catalog /Pages 2 0 R >>"
PAGES = b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>"
PAGE = b"<< /Type /Page /Parent 2 0 R /Resources 4 0 R /Contents 5 0 R >>"


def stream(content: bytes, said: str = "") -> bytes:
    head = f"<< /Length {len(content)} {said} >>\nstream\n".encode()
    return head + content + b"\nendstream"


def packed(mebibytes: int) -> bytes:
    """That many MiB of zeros, deflated."""
    packing = zlib.compressobj(1)
    return b"".join(packing.compress(bytes(2**20)) for _ in range(mebibytes)) + packing.flush()


def one_page(content: bytes, resources: bytes = b"<< >>") -> list[bytes]:
    return [CATALOG, PAGES, PAGE, resources, content]


PDFS: dict[str, Callable[[], list[bytes]]] = {
    "pages that are their own": lambda: [CATALOG, PAGES.replace(b"3 0 R", b"2 0 R")],
    "pages of each other": lambda: [CATALOG, PAGES, PAGES.replace(b"3 0 R", b"2 0 R")],
    "a parent that is its own": lambda: [
        CATALOG,
        PAGES.replace(b"/Kids", b"/Parent 2 0 R /Kids"),
        b"<< /Type /Page /Parent 2 0 R >>",
    ],
    "a drawing of itself": lambda: [
        *one_page(stream(b"/F Do"), b"<< /XObject << /F 6 0 R >> >>"),
        stream(b"/F Do", "/Type /XObject /Subtype /Form /BBox [0 0 1 1] /Resources 4 0 R"),
    ],
    "a length that is its own": lambda: one_page(b"<< /Length 5 0 R >>\nstream\nBT ET\nendstream"),
    "a bomb": lambda: one_page(stream(packed(512), "/Filter /FlateDecode")),
    "a bomb in a bomb": lambda: one_page(
        stream(zlib.compress(packed(512)), "/Filter [/FlateDecode /FlateDecode]")
    ),
}


@pytest.mark.parametrize("name", PDFS)
def test_a_pdf_that_is_made_to_hang_or_to_grow_is_named(tmp_path: Path, name: str) -> None:
    pytest.importorskip("pypdf")
    (tmp_path / "a.pdf").write_bytes(pdf_of(PDFS[name]()))
    assert (tmp_path / "a.pdf").stat().st_size < 2**22
    (tmp_path / "b.txt").write_text("text")
    corpus = read_documents(tmp_path, on_unreadable="skip", timeout_s=10)
    assert [document.id for document in corpus.documents] == ["b.txt"]
    [told] = corpus.unreadable
    assert told.id == "a.pdf"
    known = ("its pages hold no text", "it is damaged", "reading it takes more than")
    assert told.reason.startswith(known)


def test_a_table_of_a_pdf_that_goes_on_at_itself_ends(tmp_path: Path) -> None:
    pytest.importorskip("pypdf")
    page = pdf(["Seen"])
    table = page.index(b"xref\n")
    looped = page.replace(b"/Root 1 0 R", f"/Root 1 0 R /Prev {table}".encode())
    assert read(tmp_path, "a.pdf", looped) == "Seen"


def test_an_encrypted_pdf_says_what_to_do(tmp_path: Path) -> None:
    pypdf = pytest.importorskip("pypdf")
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(pdf(["text"])))
    writer.encrypt("secret", algorithm="RC4-128")
    writer.write(tmp_path / "a.pdf")
    keys = {"O": 48, "U": 48, "OE": 32, "UE": 32, "Perms": 16}
    strings = " ".join(f"/{key} <{'00' * length}>" for key, length in keys.items())
    filters = "/CF << /StdCF << /CFM /AESV3 >> >> /StmF /StdCF /StrF /StdCF"
    own = f"/ID [<00> <00>] /Encrypt << /Filter /Standard /V 5 /R 6 /P -1 {strings} {filters} >>"
    (tmp_path / "b.pdf").write_bytes(pdf_of(one_page(stream(b"BT ET")), own))
    with pytest.raises(DataError) as raised:
        read_documents(tmp_path)
    told = "it is encrypted: save it without a password"
    assert f"  a.pdf: {told}\n  b.pdf: {told}\n" in str(raised.value)


# A module in the place of pypdf is as much as a fault of pypdf's could do.
EVIL = {
    "while True: pass": "takes more than 2 s: raise timeout_s",
    "import time; time.sleep(99)": "takes more than 2 s: raise timeout_s",
    "import os; os._exit(7)": "ends the process that does",
    "import faulthandler; faulthandler._sigsegv()": "ends the process that does",
    "import os; os.kill(os.getppid(), 0)": "os.kill: a reader",
    "import os; os.killpg(0, 0)": "os.killpg: a reader",
    "x = bytearray(2**33)": "takes more than",
    "import socket; socket.create_connection(('127.0.0.1', 9))": "socket",
    "import subprocess; subprocess.run(['true'])": "subprocess.Popen: a reader",
    "import os; os.system('true')": "os.system: a reader",
    "import os; os.execv('/bin/true', ['true'])": "os.exec: a reader",
    "import os; os.fork()": "os.fork: a reader",
    "open('evil', 'w')": "it would write evil",
    "import os; os.open('evil', os.O_CREAT | os.O_WRONLY)": "it would write evil",
    "import os; os.remove('docs/a.pdf')": "os.remove: a reader",
    "import pathlib; pathlib.Path('docs/a.pdf').unlink()": "os.remove: a reader",
    "import os; os.rename('docs', 'evil')": "os.rename: a reader",
    "import os; os.replace('docs/a.pdf', 'evil')": "os.rename: a reader",
    "import os; os.mkdir('evil')": "os.mkdir: a reader",
    "import os; os.rmdir('empty')": "os.rmdir: a reader",
    "import os; os.symlink('docs', 'evil')": "os.symlink: a reader",
    "import os; os.link('docs/a.pdf', 'evil')": "os.link: a reader",
    "import os; os.truncate('docs/a.pdf', 0)": "os.truncate: a reader",
    "import os; os.chmod('docs/a.pdf', 0)": "os.chmod: a reader",
    "import os; os.utime('docs/a.pdf', (0, 0))": "os.utime: a reader",
    "import os; os.chown('docs/a.pdf', -1, -1)": "os.chown: a reader",
    "import os; os.setxattr('docs/a.pdf', 'user.evil', b'')": "os.setxattr: a reader",
    "import shutil; shutil.rmtree('docs')": "shutil.rmtree: a reader",
    "import shutil; shutil.move('docs', 'evil')": "shutil.move: a reader",
    "import sqlite3; sqlite3.connect('evil')": "sqlite3.connect: a reader",
    "print('{}', flush=True); raise OSError('told')": "told",
    "def PdfReader(stream): raise RecursionError('deep')\nfrom types import SimpleNamespace\n"
    "errors = SimpleNamespace(FileNotDecryptedError=KeyError, DependencyError=OSError)": (
        "RecursionError: deep"
    ),
}


@pytest.mark.parametrize("code", EVIL)
def test_a_reader_that_is_taken_over_does_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    modules = tmp_path / "modules"
    modules.mkdir()
    (modules / "pypdf.py").write_text(code)
    (tmp_path / "empty").mkdir()
    monkeypatch.syspath_prepend(str(modules))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"a\.pdf: .*" + EVIL[code].replace("(", r"\(")):
        read(tmp_path / "docs", "a.pdf", pdf(["text"]), timeout_s=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["docs", "empty", "modules"]
    assert (tmp_path / "docs" / "a.pdf").read_bytes() == pdf(["text"])


def test_the_files_after_one_that_hangs_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "pypdf.py").write_text("while True: pass")
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "a.html").write_text("<p>before")
    (docs / "b.pdf").write_bytes(pdf(["text"]))
    (docs / "c.html").write_text("<p>after")
    corpus = read_documents(docs, on_unreadable="skip", timeout_s=1)
    assert [document.text for document in corpus.documents] == ["before", "after"]
    assert [one.id for one in corpus.unreadable] == ["b.pdf"]


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("the secret")
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "a.txt").write_text("text")
    (docs / "link.txt").symlink_to("../secret.txt")
    (docs / "folder").symlink_to("..")
    corpus = read_documents(docs, on_unreadable="skip")
    assert [document.id for document in corpus.documents] == ["a.txt"]
    told = "it is a link out of the folder: copy there what it points to"
    assert [str(one) for one in corpus.unreadable] == [f"folder: {told}", f"link.txt: {told}"]


@pytest.mark.parametrize("name", ["again", "again.md"])
def test_a_link_to_a_folder_within_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "within").mkdir()
    (tmp_path / "within" / "a.txt").write_text("text")
    (tmp_path / name).symlink_to("within")
    with pytest.raises(DataError, match=rf"{name}: it is a link to a folder, which is not"):
        read_documents(tmp_path)
    [document] = read_documents(tmp_path, on_unreadable="skip").documents
    assert document.id == "within/a.txt"


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    with pytest.raises(DataError, match=r"pipe\.txt: it is no file"):
        read_documents(tmp_path)


def test_a_name_that_is_no_text_is_told(tmp_path: Path) -> None:
    with open(os.fsencode(tmp_path) + b"/caf\xe9.txt", "w") as file:
        file.write("text")
    with pytest.raises(DataError, match=r"caf\\udce9\.txt: it holds half a character"):
        read_documents(tmp_path)


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "a.txt").open("wb") as file:
        file.truncate(formats.MOST_BYTES + 1)
    with pytest.raises(DataError, match="it has more than 64 MiB: split it"):
        read_documents(tmp_path)


def test_a_text_that_is_too_long_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a" * (formats.MOST_CHARACTERS + 1))
    with pytest.raises(DataError, match="more than 16,777,216 characters: split it"):
        read_documents(tmp_path)


@pytest.mark.parametrize("piece", ["```\n", "# \n", "a\n", "-", " ", "\n", "| ", "=\n", "\t"])
def test_markdown_of_any_shape_is_read_to_its_end(tmp_path: Path, piece: str) -> None:
    read(tmp_path, "a.md", ("text\n" + piece * 500_000).encode())
