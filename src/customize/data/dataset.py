"""A data set on disk, by row number: eight bytes of memory a row, converted when asked for.

Knows neither how rows are rendered nor what they are used for.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, overload

from customize._errors import DataError
from customize.data.conversion import Row, convert
from customize.data.faults import BadRow, ReadReport, RowFault
from customize.data.formats import FORMATS, Format, belongs, candidates, decide, mixed
from customize.data.lines import Line, LineFile
from customize.data.row_index import Found, GrowingIndex
from customize.data.strict_json import decode_object

_SAMPLE_ROWS = 1000
_SAMPLE_BYTES = 2**24
_READS = {
    "chat": "conversations with an answer, as messages or as prompt and completion",
    "preference": "a chosen and a rejected answer to each prompt",
    "prompt": "prompts, as messages or as prompt",
    "documents": "documents, as id and text",
}


class IndexedDataset:
    """Rows of an indexed file, as the contract of their kind has them (see `conversion`).

    A slice gives a list of rows. Made by `read`.
    """

    def __init__(self, file: LineFile, found: Found) -> None:
        self.name = file.name
        self.kind = found.kind
        self.format = found.format
        self.report = found.report
        self.fingerprint = found.sha256
        self._file = file
        self._of = FORMATS[found.format]
        self._index = found.index

    def __len__(self) -> int:
        return len(self._index.offsets)

    @overload
    def __getitem__(self, index: int, /) -> Row: ...
    @overload
    def __getitem__(self, index: slice, /) -> list[Row]: ...
    def __getitem__(self, index: int | slice, /) -> Row | list[Row]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return convert(self.source(index), self._of, self.kind)

    def __iter__(self) -> Iterator[Row]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.describe()}>"

    @property
    def rows_skipped(self) -> int:
        """Number of bad rows left out; `report` has each with its reason."""
        return len(self.report.bad)

    def source(self, index: int) -> dict[str, Any]:
        """The row as it is in the source, not converted (a copy of one's own)."""
        content = self.raw(index)
        try:
            return decode_object(content.strip())
        except RowFault:
            raise DataError(f"{self.name} was changed while it is in use; read it again") from None

    def raw(self, index: int) -> bytes:
        """The row's line byte for byte, line end included; what is not JSONL was made so."""
        row = operator.index(index)
        return self._file.at(self._index.offsets[row])

    def line(self, index: int) -> int:
        """Where the row is in its source, counted from 1: a line, or a record of a table."""
        row = range(len(self))[operator.index(index)]
        return self._index.line(row)

    def describe(self) -> str:
        """One line: what was recognised and what was left out."""
        report = self.report
        are_documents = self.format == "documents"
        rows = _count(len(self), "document" if are_documents else f"{self.kind} row")
        source = "" if are_documents else f" from {FORMATS[self.format].label}"
        left = f", {_count(len(report.bad), 'bad row')} skipped" if report.bad else ""
        blank = f", {_count(report.blank, 'blank line')}" if report.blank else ""
        return f"{self.name}: {rows}{source}{left}{blank}, sha256 {self.fingerprint[:12]}"

    def account(self) -> str:
        """What was recognised, and the bad rows that were left out, with their reasons."""
        left = [self.report.listing()] if self.report.bad else []
        return "\n".join([self.describe(), *left])


Parsed = tuple[Line, dict[str, Any] | RowFault]


class Indexing:
    """One pass over the lines of a file: what `IndexedDataset` needs to know of it."""

    def __init__(self, file: LineFile, kind: str | None) -> None:
        self._file = file
        self._asked = kind
        self._index = GrowingIndex()
        self._bad: list[BadRow] = []
        self._num_lines = self._num_blank = 0

    def over(self, lines: Iterable[Line]) -> Found:
        """Pass over ``lines``; bad rows are in the report.

        Raises:
            DataError: no known format, several formats, or rows of another kind than asked for.
        """
        parsed = self._parsed(iter(lines))
        sample = list(_sample(parsed))
        good = [(line.number, row) for line, row in sample if isinstance(row, dict)]
        of = decide(good, self._file.name) if good else FORMATS["openai"]
        kind = self._kind(of, [row for _, row in good])
        for line, row in chain(sample, parsed):
            self._place(line, row, of, kind)
        self._file.finish()
        return Found(of.name, kind, self._file.sha256, self._report(), self._index.rows)

    def _parsed(self, lines: Iterator[Line]) -> Iterator[Parsed]:
        for line in lines:
            self._num_lines += 1
            if line.content == b"":
                self._num_blank += 1
                continue
            yield line, _object(line.content)

    def _kind(self, of: Format, rows: list[dict[str, Any]]) -> str:
        found = of.kind
        if of.name in ("openai", "sharegpt") and rows and not self._asked:
            found = "chat" if any(_is_chat(row, of) for row in rows) else "prompt"
        allowed = {of.kind, "prompt"} if of.kind == "chat" else {of.kind}
        if self._asked and self._asked not in allowed:
            readable = " or ".join(sorted(allowed))
            raise DataError(
                f"{self._file.name} holds {of.label}, which can be read as {readable}, not as "
                f"{self._asked!r}: give {_READS[self._asked]}"
            )
        return self._asked or found

    def _place(self, line: Line, row: dict[str, Any] | RowFault, of: Format, kind: str) -> None:
        try:
            if isinstance(row, RowFault):
                raise row
            if not belongs(row, of):
                other = candidates(row)[0]
                raise mixed(self._file.name, {of.name: self._first(), other: line.number})
            convert(row, of, kind)
        except RowFault as fault:
            self._bad.append(BadRow(line.number, fault.reason, fault.detail))
        else:
            self._index.add(line)

    def _first(self) -> int:
        rows = self._index.rows
        return rows.line(0) if rows.offsets else 1

    def _report(self) -> ReadReport:
        good = len(self._index.rows.offsets)
        return ReadReport(self._num_lines, good, self._num_blank, tuple(self._bad))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _sample(parsed: Iterator[Parsed]) -> Iterator[Parsed]:
    num_bytes = 0
    for count, (line, row) in enumerate(parsed, start=1):
        yield line, row
        num_bytes += len(line.content) if isinstance(line.content, bytes) else 0
        if count >= _SAMPLE_ROWS or num_bytes > _SAMPLE_BYTES:
            return


def _object(content: bytes | RowFault) -> dict[str, Any] | RowFault:
    if isinstance(content, RowFault):
        return content
    try:
        return decode_object(content)
    except RowFault as fault:
        return fault


def _is_chat(row: dict[str, Any], of: Format) -> bool:
    try:
        messages = convert(row, of, "chat")["messages"]
    except RowFault as fault:
        return fault.reason == "empty answer"
    return bool(messages[-1]["role"] == "assistant")
