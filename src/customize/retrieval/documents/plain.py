"""Text, Markdown and code: the document's text is the file's. Knows no file."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator

from customize._errors import DataError
from customize.interfaces.index import Heading

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_ATX = re.compile(r" {0,3}(#{1,6})(?:[ \t]|$)")
_UNDERLINE = re.compile(r" {0,3}(=+|-+)[ \t]*")
# What begins a block that no underline makes a heading.
_NO_TITLE = re.compile(r"\s*$|\s{4}|\s*(?:[-*+>|]|\d+[.)]\s)")


def decoded(content: bytes) -> str:
    """The text of a file: UTF-8, or UTF-16 with its mark; line ends are ``\\n``.

    Raises:
        DataError: it is in another encoding.
    """
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise DataError(f"byte {error.start} is not {encoding}: save it as UTF-8") from None
    return cleaned(text)


def cleaned(text: str) -> str:
    """With line ends of one kind, and no NUL, at which some tools would stop reading."""
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", " ")


def markdown_headings(text: str) -> tuple[Heading, ...]:
    """Those with ``#`` and those underlined, outside of fenced code."""
    return tuple(_headings(text))


def _headings(text: str) -> Iterator[Heading]:
    fence, before, start_before, start = "", "", 0, 0
    for line in text.split("\n"):
        if fence:
            closing = line.strip()
            if closing.startswith(fence) and not closing.strip(fence[0]):
                fence = ""
            before = ""
        elif opening := _FENCE.match(line):
            fence, before = opening[1], ""
        elif atx := _ATX.match(line):
            yield Heading(len(atx[1]), line.strip().strip("#").strip(), start)
            before = ""
        elif before and (underline := _UNDERLINE.fullmatch(line)):
            yield Heading(1 if underline[1][0] == "=" else 2, before.strip(), start_before)
            before = ""
        else:
            before, start_before = "" if _NO_TITLE.match(line) else line, start
        start += len(line) + 1
