"""What was read of a folder or of records, and what was not. Reads nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import attrs

from customize.data.audit_report import Finding
from customize.data.sensitive import find
from customize.interfaces.index import Document

_SHOWN = 10


@attrs.frozen
class Unreadable:
    """A file or record that cannot be read, and why."""

    id: str
    reason: str

    def __str__(self) -> str:
        return f"{self.id}: {self.reason}"


@attrs.frozen
class Corpus:
    """Documents, and an account of the rest.

    unreadable: files and records of known formats that could not be read.
    left_out: files of formats that nothing reads.
    findings: secrets and personal data, by line of a document; ``where`` is its id.
    """

    documents: tuple[Document, ...]
    unreadable: tuple[Unreadable, ...] = ()
    left_out: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()


def findings_in(document: Document) -> Iterator[Finding]:
    """Secrets and personal data in a document, masked."""
    for match in find(document.text):
        line = document.text.count("\n", 0, match.start) + 1
        yield Finding(line, match.group, match.kind, document.id, match.masked)


def listed(what: str, names: Iterable[str]) -> Iterator[str]:
    """The first ten, after how many there are; nothing of none."""
    names = list(names)
    if names:
        yield f"{len(names)} {what}:"
        yield from (f"  {name}" for name in names[:_SHOWN])
        if len(names) > _SHOWN:
            yield f"  ... and {len(names) - _SHOWN} more"


def told(findings: Iterable[Finding]) -> Iterator[str]:
    """How often each kind was found, in how many documents, and where first."""
    findings = list(findings)
    for (group, kind), count in Counter((f.group, f.kind) for f in findings).most_common():
        own = [f for f in findings if (f.group, f.kind) == (group, kind)]
        where = f"{own[0].where} line {own[0].line}: {own[0].masked}"
        yield f"{group}: {count} x {kind} in {len({f.where for f in own})} documents ({where})"
