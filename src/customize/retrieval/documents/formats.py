"""Which file is read how, and what bounds every reading. Knows no folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path

from customize._errors import DataError
from customize.retrieval.documents.draft import Draft

MOST_BYTES = 2**26  # of a file
MOST_CHARACTERS = 2**24  # of a document
MARKDOWN = frozenset((".md", ".markdown"))
PLAIN = frozenset(
    (
        *(".txt", ".text", ".rst", ".adoc", ".org", ".tex", ".log"),
        *(".py", ".js", ".ts", ".jsx", ".tsx", ".java", ".kt", ".scala", ".c", ".h", ".cc", ".cpp"),
        *(".hpp", ".cs", ".go", ".rs", ".rb", ".php", ".swift", ".r", ".jl", ".lua", ".pl", ".sh"),
        *(".sql", ".yaml", ".yml", ".toml", ".ini", ".cfg", ".css"),
    )
)
# Formats whose files can be made to harm who reads them: each is read in a process of its own.
APART: Mapping[str, str] = {
    ".html": "html:read_html",
    ".htm": "html:read_html",
    ".xhtml": "html:read_html",
    ".docx": "docx:read_docx",
    ".pdf": "pdf:read_pdf",
}


def content_of(path: Path) -> bytes:
    """The bytes of a file that is not too large.

    Raises:
        DataError: it is.
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        content = stream.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise DataError(f"it has more than {MOST_BYTES // 2**20} MiB: split it")
    return content


def checked(text: str) -> str:
    """The text of a document that is not too long, says something, and can be written.

    Raises:
        DataError: it is none.
    """
    if len(text) > MOST_CHARACTERS:
        raise DataError(f"its text has more than {MOST_CHARACTERS:,} characters: split it")
    if not text.strip():
        raise DataError("it holds no text")
    if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
        raise DataError("it holds half a character (a lone surrogate): save it as UTF-8")
    return text


def reader_apart(suffix: str) -> Callable[[bytes], Draft]:
    """The function behind one of ``APART``."""
    module, _, name = APART[suffix].partition(":")
    read: Callable[[bytes], Draft] = getattr(
        import_module(f"customize.retrieval.documents.{module}"), name
    )
    return read
