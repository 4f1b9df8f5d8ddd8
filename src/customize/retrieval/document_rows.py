"""Documents as rows of a data set and back, and an index of them. Knows no format of files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from customize.interfaces.dataset import Dataset, Row
from customize.interfaces.index import Document, Encoder, Heading, Index
from customize.plugins.encoders import encoder_of
from customize.retrieval.chunking import Chunking, chunks_of, counter
from customize.retrieval.documents.corpus import findings_in, listed, told
from customize.retrieval.documents.reading import OnUnreadable, Source, read_documents
from customize.retrieval.index_folder import new_index


def document_rows(
    source: Source,
    on_unreadable: OnUnreadable = "refuse",
    report: Callable[[str], None] | None = None,
) -> list[Row]:
    """What `read_documents` reads, as rows of the kind ``documents``.

    report: is told what was not read, and what is sensitive in what was.

    Raises:
        DataError, OptionError, MissingDependency: as `read_documents`.
    """
    corpus = read_documents(source, on_unreadable)
    lines = [
        *listed("could not be read", [str(one) for one in corpus.unreadable]),
        *listed("of no format that is read", corpus.left_out),
        *told(corpus.findings),
    ]
    if report is not None:
        for line in lines:
            report(line)
    return [row_of(document) for document in corpus.documents]


def row_of(document: Document) -> dict[str, Any]:
    """The document as a row of the kind ``documents``."""
    headings = [
        {"level": one.level, "title": one.title, "start": one.start} for one in document.headings
    ]
    row: dict[str, Any] = {"id": document.id, "text": document.text}
    row |= {"tags": sorted(document.tags)} if document.tags else {}
    return row | ({"headings": headings} if headings else {})


def sensitive_in(data: Dataset) -> list[str]:
    """Lines that tell of secrets and personal data in rows of the kind ``documents``, masked."""
    return list(told(found for one in documents_in(data) for found in findings_in(one)))


def documents_in(data: Dataset) -> Iterator[Document]:
    """The documents that the rows of the kind ``documents`` are."""
    return (_document(data[number]) for number in range(len(data)))


def index_of(
    documents: Dataset | Iterable[Document],
    chunking: Chunking = Chunking(),  # noqa: B008  # it is frozen
    encoder: Encoder | str | None = None,
    index: str = "sqlite",
) -> Index:
    """A new index of all of them, by their words; ``encoder`` adds vectors, as in `build_index`.

    index: the name of its kind.

    Raises:
        UnknownName, PluginError, MissingDependency: as for any plugin.
    """
    made = new_index(index, None if encoder is None else encoder_of(encoder))
    count, _ = counter(chunking)
    each = documents_in(documents) if isinstance(documents, Dataset) else documents
    made.add(chunk for document in each for chunk in chunks_of(document, chunking, count))
    return made


def _document(row: Row) -> Document:
    headings = tuple(Heading(**one) for one in row.get("headings", ()))
    if row.get("title") and not headings:
        headings = (Heading(1, str(row["title"]), 0),)
    return Document(row["id"], row["text"], row.get("tags", ()), headings)
