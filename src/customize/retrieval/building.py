"""`build_index` and `update_index`: documents into an index, and only what changed again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, get_args

import attrs

from customize._errors import DataError, OptionError
from customize.data.audit_report import Finding
from customize.interfaces.index import Document, Encoder, Index
from customize.plugins.encoders import encoder_of
from customize.retrieval.chunking import Chunking, chunks_of, counter
from customize.retrieval.documents.apart import Apart
from customize.retrieval.documents.corpus import Unreadable, findings_in, told
from customize.retrieval.documents.reading import (
    TIMEOUT_S,
    Items,
    OnUnreadable,
    check_policy,
    nothing_in,
)
from customize.retrieval.documents.reading import Source as Documents
from customize.retrieval.index_folder import (
    FILE,
    IndexFacts,
    Source,
    new_index,
    to_update,
    write_index,
)

OnSensitive = Literal["tell", "refuse"]
Report = Callable[[str], None]


@attrs.frozen
class Indexed:
    """What building or updating an index did.

    num_added, num_deleted: chunks. num_unchanged: files or records that were not read again.
    findings: secrets and personal data in what was read, by line; ``where`` is the document.
    """

    folder: Path
    num_documents: int
    num_chunks: int
    num_added: int
    num_deleted: int
    num_unchanged: int
    unreadable: tuple[Unreadable, ...]
    left_out: tuple[str, ...]
    findings: tuple[Finding, ...]

    def __str__(self) -> str:
        return (
            f"{self.folder}: {self.num_documents:,} documents, {self.num_chunks:,} chunks "
            f"({self.num_added:,} added, {self.num_deleted:,} deleted, "
            f"{self.num_unchanged:,} files or records unchanged)"
        )


def build_index(
    source: Documents,
    to: str | Path,
    index: str = "sqlite",
    chunking: Chunking | None = None,
    encoder: Encoder | str | None = None,
    on_unreadable: OnUnreadable = "refuse",
    on_sensitive: OnSensitive = "tell",
    timeout_s: float = TIMEOUT_S,
    report: Report | None = None,
) -> Indexed:
    """Cut documents into chunks, and index them in the new folder ``to``.

    index: the name of its kind. encoder: adds vectors; also as a text,
        ``sentence-transformers:model=FOLDER``.
    report: is told, before anything is indexed, what was not read and what is sensitive.
    The rest is as for `read_documents`; with ``on_sensitive="refuse"`` nothing is indexed where
    secrets or personal data are found.

    Raises:
        DataError: as `read_documents` does; ``to`` has an index; or something sensitive is refused.
        OptionError: an argument is none that is allowed.
        ModelError: the chunking's tokenizer is not there.
        UnknownName, PluginError, MissingDependency: as for any plugin.
    """
    folder = Path(to)
    if (folder / FILE).exists() or (folder.exists() and any(folder.iterdir())):
        raise DataError(
            f"{folder} is not empty: name a new folder, or make the index there one of what the "
            "documents are now with customize index update (update_index)"
        )
    made = None if encoder is None else encoder_of(encoder)
    facts = IndexFacts.new(index, chunking or Chunking(), made)
    policy = _Policy(on_unreadable, on_sensitive, timeout_s, report)
    return _refreshed(folder, facts, new_index(facts.index, made), source, policy)


def update_index(
    folder: str | Path,
    source: Documents,
    encoder: Encoder | str | None = None,
    on_unreadable: OnUnreadable = "refuse",
    on_sensitive: OnSensitive = "tell",
    timeout_s: float = TIMEOUT_S,
    report: Report | None = None,
) -> Indexed:
    """Make the index in ``folder`` one of ``source`` as it is now, as it was made then.

    What did not change is not read again; what is gone from ``source`` is gone from the index.
    One that an older version of customize made is made anew. Until it is done, and where it fails,
    the folder holds the index that it held.

    encoder: as for `open_index`; the rest as for `build_index`.

    Raises:
        DataError: as `build_index` and `open_index` do, or the tokenizer has changed since.
    """
    folder = Path(folder)
    facts, index = to_update(folder, encoder)
    policy = _Policy(on_unreadable, on_sensitive, timeout_s, report)
    return _refreshed(folder, facts, index, source, policy)


@attrs.frozen
class _Policy:
    on_unreadable: OnUnreadable
    on_sensitive: OnSensitive
    timeout_s: float
    report: Report | None

    def __attrs_post_init__(self) -> None:
        check_policy(self.on_unreadable, self.timeout_s)
        if self.on_sensitive not in get_args(OnSensitive):
            raise OptionError(
                f"on_sensitive must be 'tell' or 'refuse' (got {self.on_sensitive!r})"
            )

    def apply(self, reading: _Reading) -> None:
        """
        Raises:
            DataError: what was found is to be refused.
        """
        items = reading.items
        if self.on_unreadable == "refuse":
            items.refuse_unreadable()
        if not reading.sources:
            raise nothing_in(items.source, items)
        if self.on_sensitive == "refuse" and reading.findings:
            lines = "\n".join(told(reading.findings))
            raise DataError(
                f"{lines}\nTake them out, or accept them: on_sensitive='tell' (--on-sensitive tell)"
            )
        if self.report is not None:
            for line in (*items.account(), *told(reading.findings)):
                self.report(line)


@attrs.define
class _Reading:
    """What is in a source now. changed: documents that are not as they were indexed."""

    items: Items
    sources: dict[str, Source] = attrs.field(factory=dict)
    changed: list[Document] = attrs.field(factory=list)
    findings: list[Finding] = attrs.field(factory=list)
    num_unchanged: int = 0

    def over(self, known: Mapping[str, Source]) -> None:
        for item in self.items:
            before = known.get(item.id)
            if before is not None and before.hash == item.hash:
                self.sources[item.id] = before
                self.num_unchanged += 1
            elif documents := self.items.read(item):
                ids = tuple(document.id for document in documents)
                self.sources[item.id] = Source(item.hash, ids)
                self.changed += documents
                self.findings += (found for one in documents for found in findings_in(one))

    @property
    def num_documents(self) -> int:
        return sum(len(source.documents) for source in self.sources.values())


def _refreshed(
    folder: Path, facts: IndexFacts, index: Index, source: Documents, policy: _Policy
) -> Indexed:
    count, fingerprint = counter(facts.chunking)
    if fingerprint != facts.counter:
        raise DataError(f"the tokenizer {facts.chunking.tokenizer} has changed: build it anew")
    with Apart(policy.timeout_s) as apart:
        reading = _Reading(Items(source, apart))
        reading.over(facts.sources)
    policy.apply(reading)
    new = {c.id: c for one in reading.changed for c in chunks_of(one, facts.chunking, count)}
    changed = {document.id for document in reading.changed}
    kept = {id for source in reading.sources.values() for id in source.documents} - changed
    before = {chunk.id: chunk.document for chunk in index.chunks()}
    gone = [id for id, document in before.items() if document not in kept and id not in new]
    added = [chunk for id, chunk in new.items() if id not in before]
    index.delete(gone)
    index.add(added)
    write_index(folder, index, attrs.evolve(facts, sources=reading.sources))
    return Indexed(
        folder,
        reading.num_documents,
        len(index),
        len(added),
        len(gone),
        reading.num_unchanged,
        tuple(reading.items.unreadable),
        tuple(reading.items.left_out),
        tuple(reading.findings),
    )
