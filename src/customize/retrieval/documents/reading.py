"""`read_documents`: a folder, a file or records as documents. Knows no chunks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Literal, get_args

import attrs

from customize._errors import DataError, OptionError
from customize.data.faults import RowFault
from customize.data.offered import reader_of
from customize.interfaces.index import Document
from customize.retrieval.documents.apart import Apart
from customize.retrieval.documents.corpus import Corpus, Unreadable, findings_in, listed
from customize.retrieval.documents.folder import File, fault_of, files_of
from customize.retrieval.documents.formats import APART, MARKDOWN, PLAIN, checked, content_of
from customize.retrieval.documents.plain import decoded, markdown_headings
from customize.retrieval.documents.records import both, document_of, numbered, records_in

OnUnreadable = Literal["refuse", "skip"]
Source = str | Path | Iterable[Mapping[str, object] | Document]
TIMEOUT_S = 60.0


@attrs.frozen
class Item:
    """A file or record; read only where its hash is not known.

    hash: of its content, its tags and how it is read.
    """

    id: str
    hash: str
    read: Callable[[], list[Document]]


@attrs.define
class Items:
    """What there is of a source. ``unreadable`` and ``left_out`` grow as it is passed over."""

    source: Source
    apart: Apart
    unreadable: list[Unreadable] = attrs.field(factory=list)
    left_out: list[str] = attrs.field(factory=list)

    def __iter__(self) -> Iterator[Item]:
        if not isinstance(self.source, str | Path):
            yield from self._records(numbered(self.source), "record")
            return
        path = Path(self.source).expanduser()
        if path.is_dir():
            yield from self._files(path)
        elif path.suffix.lower() in (".jsonl", ".ndjson") and path.is_file():
            yield from self._records(records_in(path), f"{path.name} line")
        else:
            raise DataError(_neither(path))

    def read(self, item: Item) -> list[Document]:
        """Its documents; none where it cannot be read, which is noted."""
        try:
            return item.read()
        except (DataError, OSError) as error:
            self._note(item.id, error)
            return []

    def account(self) -> Iterator[str]:
        """Lines for a person about what was not read."""
        yield from listed("could not be read", map(str, self.unreadable))
        yield from listed("of no format that is read", self.left_out)

    def refuse_unreadable(self) -> None:
        """Raises:
        DataError: something could not be read; the first ten are listed.
        """
        if self.unreadable:
            told = "\n".join(listed("could not be read", map(str, self.unreadable)))
            raise DataError(
                f"{told}\nMend them, or leave them out: on_unreadable='skip' "
                "(--on-unreadable skip; in training --set on_bad_rows=skip)"
            )

    def _files(self, folder: Path) -> Iterator[Item]:
        for file in files_of(folder):
            known = file.suffix in MARKDOWN | PLAIN | APART.keys() or reader_of(file.suffix)
            if not known and not file.is_folder:
                self.left_out.append(file.id)
                continue
            try:
                checked(file.id)
                if fault := fault_of(file, folder):
                    raise DataError(fault)
                yield _item(file, self.apart)
            except (DataError, OSError) as error:
                self._note(file.id, error)

    def _records(self, records: Iterable[tuple[int, object]], each: str) -> Iterator[Item]:
        seen: set[str] = set()
        for number, record in records:
            name = f"{each} {number}"
            try:
                document = _document(record, name)
                if document.id in seen:
                    raise DataError(f"the id {document.id!r} is another's too")
            except DataError as error:
                self._note(name, error)
                continue
            seen.add(document.id)
            parts = (document.text, document.headings, sorted(document.tags))
            yield Item(document.id, _hash(repr(parts).encode()), partial(list, [document]))

    def _note(self, id: str, error: Exception) -> None:
        reason = getattr(error, "strerror", None) or str(error)
        shown = id.encode("utf-8", "backslashreplace").decode()
        self.unreadable.append(Unreadable(shown, reason))


def read_documents(
    source: Source, on_unreadable: OnUnreadable = "refuse", timeout_s: float = TIMEOUT_S
) -> Corpus:
    """Read a folder, a JSONL file of records, or records in Python.

    Of a folder these are read: Markdown, text, code, HTML, PDF (with pypdf), DOCX, and what a
    plugin's reader reads; its ``access.yaml`` says who may see what. A record is ``{"text": …}``,
    with ``id``, ``title`` and ``tags`` where it has them.

    Raises:
        DataError: there is nothing to read, ``access.yaml`` is wrong, or files cannot be read
            and ``on_unreadable`` is "refuse"; ``timeout_s`` is the time that one file may take.
        OptionError: ``on_unreadable`` or ``timeout_s`` is none that is allowed.
        MissingDependency: there are PDF files, and no pypdf.
    """
    check_policy(on_unreadable, timeout_s)
    with Apart(timeout_s) as apart:
        items = Items(source, apart)
        documents = [document for item in items for document in items.read(item)]
    if on_unreadable == "refuse":
        items.refuse_unreadable()
    if not documents:
        raise nothing_in(source, items)
    findings = tuple(found for document in documents for found in findings_in(document))
    return Corpus(tuple(documents), tuple(items.unreadable), tuple(items.left_out), findings)


def check_policy(on_unreadable: str, timeout_s: float) -> None:
    """Raises:
    OptionError: one of them is none that is allowed.
    """
    if on_unreadable not in get_args(OnUnreadable):
        raise OptionError(f"on_unreadable must be 'refuse' or 'skip' (got {on_unreadable!r})")
    if not timeout_s > 0:
        raise OptionError(f"timeout_s must be > 0 (got {timeout_s})")


def nothing_in(source: Source, items: Items) -> DataError:
    """The refusal of a source that holds no document."""
    name = str(source) if isinstance(source, str | Path) else "the list of records"
    known = " ".join(sorted(MARKDOWN | APART.keys() | {".txt"}))
    told = f"{name} holds no document (read are {known} and code)"
    return DataError("\n".join([told, *items.account()]))


def _item(file: File, apart: Apart) -> Item:
    content = content_of(file.path)
    own = f"{file.suffix}\n{sorted(file.tags)}\n".encode()
    return Item(file.id, _hash(own + content), partial(_documents, file, content, apart))


def _documents(file: File, content: bytes, apart: Apart) -> list[Document]:
    if file.suffix in APART:
        text, headings = apart.read(file.path, file.suffix)
        return [Document(file.id, text, file.tags, headings)]
    if file.suffix in MARKDOWN | PLAIN:
        text = checked(decoded(content))
        headings = markdown_headings(text) if file.suffix in MARKDOWN else ()
        return [Document(file.id, text, file.tags, headings)]
    read = reader_of(file.suffix)
    assert read is not None
    return [
        attrs.evolve(_document(record, str(number), file.tags), id=f"{file.id}#{number}")
        for number, record in read(file.path)
    ]


def _document(record: object, id: str, tags: frozenset[str] = frozenset()) -> Document:
    """
    Raises:
        DataError: the record is no document.
    """
    try:
        if isinstance(record, RowFault):
            raise record
        if isinstance(record, Document):
            checked(record.id)
            checked(record.text)
            return attrs.evolve(record, tags=both(record.tags, tags))
        return document_of(record, id, tags)
    except RowFault as fault:
        raise DataError(
            f"{fault.reason} ({fault.detail})" if fault.detail else fault.reason
        ) from None


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _neither(path: Path) -> str:
    if not path.exists():
        return f"there is no file or folder {path}"
    return f"{path} is no folder of documents, nor a .jsonl file of records"
