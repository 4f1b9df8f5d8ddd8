"""Records as documents: ``{"text": …, "id": …, "title": …, "tags": […]}``. Knows no folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from customize.data.faults import RowFault
from customize.data.lines import LineFile
from customize.data.strict_json import decode_object, type_name
from customize.interfaces.index import Document, Heading
from customize.retrieval.documents.formats import checked
from customize.retrieval.documents.plain import cleaned

_KEYS = ("text", "id", "title", "tags")


def document_of(record: object, id: str, tags: frozenset[str] = frozenset()) -> Document:
    """The document that a record is.

    id: of one that has none. tags: of the file it is in.

    Raises:
        RowFault, DataError: it is none.
    """
    if not isinstance(record, Mapping):
        raise RowFault("not an object", f"it is {type_name(record)}")
    if unknown := record.keys() - set(_KEYS):
        raise RowFault(f"unknown key {min(map(str, unknown))!r}", f"known: {', '.join(_KEYS)}")
    values = {key: record.get(key, "") for key in ("text", "id", "title")}
    for key, value in values.items():
        if not isinstance(value, str):
            raise RowFault(f"{key} is not a string", f"it is {type_name(value)}")
        values[key] = checked(cleaned(value)) if value or key == "text" else ""
    title = values["title"].strip()
    return Document(
        values["id"] or id,
        values["text"],
        both(_tags(record.get("tags", ())), tags),
        (Heading(1, title, 0),) if title else (),
    )


def both(own: frozenset[str], files: frozenset[str]) -> frozenset[str]:
    """The tags of a record in a file, each of which lets who has it see what both protect.

    Raises:
        RowFault: there are none, so that nobody could.
    """
    if not own or not files:
        return own | files
    if not own & files:
        raise RowFault(
            f"its tags ({', '.join(sorted(own))}) are none of those that its file takes "
            f"({', '.join(sorted(files))})",
            "name in access.yaml for the file the tags of all its records",
        )
    return own & files


def records_in(path: Path) -> Iterator[tuple[int, object]]:
    """The records of a JSONL file by line; a bad line's is a RowFault."""
    with path.open("rb") as stream:
        for line in LineFile(stream, str(path)).lines():
            if isinstance(line.content, RowFault):
                yield line.number, line.content
            elif line.content:
                yield line.number, _decoded(line.content)


def numbered(records: Iterable[object]) -> Iterator[tuple[int, object]]:
    """Records of Python, from 1."""
    yield from enumerate(records, start=1)


def _decoded(line: bytes) -> object:
    try:
        return decode_object(line)
    except RowFault as fault:
        return fault


def _tags(value: object) -> frozenset[str]:
    if not isinstance(value, list | tuple | set | frozenset) or not all(
        isinstance(tag, str) and tag for tag in value
    ):
        raise RowFault("tags is not a list of texts", "as [hr, board]; an empty list is everyone")
    return frozenset(value)
