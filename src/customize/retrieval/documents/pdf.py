"""PDF to text through pypdf, page by page. Knows no file, and no time limit."""

from __future__ import annotations

import io
import re
from typing import Any

from customize._errors import DataError, MissingDependency
from customize.retrieval.documents.draft import Draft
from customize.retrieval.documents.plain import cleaned

MOST_PAGES = 5000
_ENCRYPTED = "it is encrypted: save it without a password"
_HYPHENATED = re.compile(r"(?<=[^\W\d_])-\n(?=[a-z\u00df-\u00ff])")
_EMPTY_LINES = re.compile(r"\n\s*\n")


def read_pdf(content: bytes) -> Draft:
    """What the pages say, each under a heading with its number.

    Raises:
        DataError: it is encrypted, has too many pages, or holds no text.
        MissingDependency: pypdf is not installed.
    """
    try:
        import pypdf
    except ImportError:
        raise MissingDependency("PDF files need pypdf: pip install 'customize[pdf]'") from None
    try:
        return _pages(pypdf.PdfReader(io.BytesIO(content)))
    except pypdf.errors.FileNotDecryptedError:
        raise DataError(_ENCRYPTED) from None
    except pypdf.errors.DependencyError:  # it cannot decrypt, or not unpack
        if b"/Encrypt" not in content:
            raise
        raise DataError(_ENCRYPTED) from None


def _pages(reader: Any) -> Draft:  # pypdf.PdfReader
    draft = Draft()
    if len(reader.pages) > MOST_PAGES:
        raise DataError(f"it has {len(reader.pages)} pages, more than {MOST_PAGES}: split it")
    for number, page in enumerate(reader.pages, start=1):
        text = _HYPHENATED.sub("", cleaned(page.extract_text()))
        if text.strip():
            draft.head(1, f"Page {number}")
        for block in _EMPTY_LINES.split(text):
            draft.say(block)
            draft.end_block()
    if not draft.text:
        raise DataError("its pages hold no text: recognise it (OCR) first")
    return draft
