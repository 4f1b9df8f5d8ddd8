"""DOCX to text: paragraphs, headings and tables. Follows no link of it. Knows no file.

Of the archive two members are read, in pieces, so that neither what it claims nor what it unpacks
to matters; XML with a document type, where entities would come from, is refused.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator
from xml.parsers import expat

from customize._errors import DataError
from customize.retrieval.documents.draft import Draft

MOST_UNPACKED = 2**26  # bytes of a member
_PIECE = 2**16
_WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_STRICT = "http://purl.oclc.org/ooxml/wordprocessingml/main"


def read_docx(content: bytes) -> Draft:
    """What a DOCX file says, without headers, footers, notes and what was deleted.

    Raises:
        DataError: it is damaged, or made to do harm.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            styles = _Styles()
            if "word/styles.xml" in archive.namelist():
                _parse(archive, "word/styles.xml", styles)
            body = _Body(styles.levels)
            _parse(archive, "word/document.xml", body)
            return body.draft
    except KeyError:
        raise DataError("it is no DOCX file: it has no word/document.xml") from None
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as error:
        raise DataError(f"it is no DOCX file, or damaged or encrypted: {error}") from None


class _Handler:
    """Names come without their namespace where it is Word's, and else not at all."""

    def begin(self, name: str, attributes: dict[str, str]) -> None: ...

    def end(self, name: str) -> None: ...

    def data(self, text: str) -> None: ...


class _Styles(_Handler):
    """The level of each style that is a heading, by its id."""

    def __init__(self) -> None:
        self.levels: dict[str, int] = {}
        self._style = ""

    def begin(self, name: str, attributes: dict[str, str]) -> None:
        value = attributes.get("val", "")
        if name == "style":
            self._style = attributes.get("styleId", "")
        elif name == "name" and value.lower() == "title":
            self.levels[self._style] = 1
        elif name == "name" and value.lower().startswith("heading "):
            self._note(value.lower().removeprefix("heading "), first=1)
        elif name == "outlineLvl":
            self._note(value, first=0)

    def _note(self, number: str, first: int) -> None:
        if number in "012345678" and number and self._style not in self.levels:
            self.levels[self._style] = int(number) - first + 1


class _Body(_Handler):
    def __init__(self, levels: dict[str, int]) -> None:
        self.draft = Draft()
        self._levels = levels
        self._level = 0  # of the paragraph, where it is a heading
        self._in_text = False
        self._rows = 0  # within each other, as tables are

    def begin(self, name: str, attributes: dict[str, str]) -> None:
        if name == "pStyle":
            self._level = self._levels.get(attributes.get("val", ""), 0)
        elif name == "outlineLvl" and attributes.get("val", "") in list("012345678"):
            self._level = int(attributes["val"]) + 1
        elif name == "t":
            self._in_text = True
        elif name in ("tab", "br", "cr"):
            self.draft.say(" ")
        elif name == "tr":
            self._rows += 1

    def end(self, name: str) -> None:
        if name == "t":
            self._in_text = False
        elif name == "p":
            self._end_paragraph()
        elif name == "tc":
            self.draft.say(" | ")
        elif name == "tr":
            self._rows -= 1
            if not self._rows:
                self.draft.end_block()

    def data(self, text: str) -> None:
        if self._in_text:
            self.draft.say(text)

    def _end_paragraph(self) -> None:
        if self._rows:
            self.draft.say(" ")
        elif self._level:
            self.draft.end_heading(self._level)
        else:
            self.draft.end_block()
        self._level = 0


def _parse(archive: zipfile.ZipFile, member: str, handler: _Handler) -> None:
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler = lambda name, attributes: handler.begin(
        _plain(name), {_plain(key): value for key, value in attributes.items()}
    )
    parser.EndElementHandler = lambda name: handler.end(_plain(name))
    parser.CharacterDataHandler = handler.data
    parser.StartDoctypeDeclHandler = _refuse
    try:
        for piece in _pieces(archive, member):
            parser.Parse(piece, False)
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise DataError(f"its {member} is damaged: {error}") from None


def _pieces(archive: zipfile.ZipFile, member: str) -> Iterator[bytes]:
    unpacked = 0
    with archive.open(member) as stream:
        while piece := stream.read(_PIECE):
            unpacked += len(piece)
            if unpacked > MOST_UNPACKED:
                most = MOST_UNPACKED // 2**20
                raise DataError(f"its {member} unpacks to more than {most} MiB: split it")
            yield piece


def _plain(name: str) -> str:
    namespace, _, local = name.rpartition(" ")
    return local if namespace in (_WORD, _STRICT) else ""


def _refuse(*declared: object) -> None:
    raise DataError("its XML declares a document type, which no DOCX file needs")
