"""Records of sources that are not JSONL: JSON lists, CSV, Parquet, hub data sets, Python rows.

Each is an iterator of (record number from 1, row or fault). Knows no format of rows.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import IO, Any

from customize._errors import DataError, MissingDependency
from customize.data.faults import RowFault
from customize.data.lines import MAX_LINE, Record
from customize.data.strict_json import decode_at

MAX_JSON = 2**30  # bytes; a list cannot be read in part
_WITHOUT_SCRIPTS = 4  # the first datasets that runs no code of a data set
_SPACE = " \t\r\n"


def json_records(path: Path) -> Iterator[Record]:
    """The elements of the list that a JSON file holds.

    Raises:
        DataError: it is not UTF-8, holds no list, or breaks off; the message says where.
    """
    text = _json_text(path)
    position = _skip(text, len(text) - len(text.lstrip(_SPACE)) + 1)  # after the "["
    number, closed = 0, text[position : position + 1] == "]"
    position += closed
    while not closed:
        number += 1
        try:
            value, position, fault = decode_at(text, position)
        except RowFault as broken:
            raise DataError(
                f"{path}: element {number}: {broken.reason} ({broken.detail})"
            ) from None
        yield number, fault or value
        position = _skip(text, position)
        mark = text[position : position + 1]
        if mark not in ("]", ","):
            line = text.count("\n", 0, position) + 1
            raise DataError(f"{path}: line {line}: ',' or ']' must follow element {number}")
        closed, position = mark == "]", _skip(text, position + 1)
    if text[position:].strip(_SPACE):
        raise DataError(f"{path}: something follows the list's end")


def _json_text(path: Path) -> str:
    if path.stat().st_size > MAX_JSON:
        raise DataError(
            f"{path} is a JSON list of more than {MAX_JSON // 2**30} GiB, which must be held in "
            "memory whole; write it as JSONL, one object a line"
        )
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 (at byte {error.start + 1}); save it so") from None
    if not text.lstrip(_SPACE).startswith("["):
        raise DataError(f"{path} holds no list; a JSON file must be a list of objects")
    return text


def _skip(text: str, position: int) -> int:
    while text[position : position + 1] in tuple(_SPACE):
        position += 1
    return position


def csv_records(path: Path) -> Iterator[Record]:
    """Records of a CSV or TSV file by its header; the number is the line a record begins at.

    Raises:
        DataError: there is no header, it names a column twice, or a quote runs over lines and is
            not closed as CSV has it: what it swallowed cannot be told from rows.
    """
    with path.open("rb") as stream:
        yield from _csv_rows(stream, path)


def _csv_rows(stream: IO[bytes], path: Path) -> Iterator[Record]:
    # Bad bytes become lone surrogates here, so that they are a row's fault and not the file's.
    lines = (raw.decode("utf-8", "surrogateescape") for raw in stream)
    head = next(lines, "").removeprefix("\ufeff")
    delimiter = max(",;\t", key=head.count)
    records = csv.reader(_before(head, lines), delimiter=delimiter, strict=True)
    header = _header(records, path)
    while True:
        number = records.line_num + 1
        try:
            cells = _within_limit(records)
        except csv.Error as error:
            if records.line_num > number:
                raise _runaway(path, delimiter, number, records.line_num) from None
            yield number, RowFault("not CSV", str(error))
            continue
        if cells is None:
            return
        if cells:
            yield number, _csv_row(header, cells, records.line_num - number)


def _runaway(path: Path, delimiter: str, first: int, last: int) -> DataError:
    opened = _quote_opened(path, delimiter, first, last)
    return DataError(
        f"{path}: the quote that opens in line {opened} is not closed as CSV has it, and ran to "
        f"line {last}; which rows it swallowed cannot be told, so none of the file is read. Close "
        f'it, write a quote inside a quoted field twice (""), or quote a field that holds one'
    )


def _quote_opened(path: Path, delimiter: str, first: int, last: int) -> int:
    """The line, of those from ``first`` to ``last``, where the quote opens that csv stumbled in."""
    opened, state = first, "start"
    with path.open("rb") as stream:
        for number, line in enumerate(islice(stream, first - 1, last), start=first):
            for character in line.decode("latin-1"):
                if character == '"' and state in ("quoted", "closed"):  # two are one inside
                    state = "closed" if state == "quoted" else "quoted"
                elif state == "quoted":
                    continue
                elif character in (delimiter, "\r", "\n"):
                    state = "start"
                elif state == "closed":
                    return opened
                elif character == '"' and state == "start":
                    opened, state = number, "quoted"
                else:
                    state = "plain"
    return opened


def _before(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def _within_limit(records: Any) -> list[str] | None:  # csv's reader has no public type
    limit = csv.field_size_limit(MAX_LINE)
    try:
        return next(records, None)
    finally:
        csv.field_size_limit(limit)


def _header(records: Any, path: Path) -> list[str]:
    try:
        header = [name.strip() for name in _within_limit(records) or []]
    except csv.Error as error:
        raise DataError(f"{path}: the first line is no header of columns ({error})") from None
    if not any(header):
        raise DataError(f"{path} holds no rows: it needs a header with the columns' names")
    twice = {name for name in header if header.count(name) > 1}
    if twice:
        raise DataError(f"{path} names the column {min(twice)!r} twice; rename one")
    return header


def _csv_row(header: list[str], cells: list[str], num_more: int) -> dict[str, Any] | RowFault:
    """``num_more``: the lines that the record has beyond its first."""
    if len(cells) != len(header):
        over = f"; it runs over {num_more + 1} lines" if num_more else ""
        told = f"{len(cells)}, and the header has {len(header)}{over}"
        return RowFault("wrong number of fields", told)
    if any("\udc80" <= character <= "\udcff" for cell in cells for character in cell):
        return RowFault("not UTF-8")
    if any("\0" in cell for cell in cells):
        return RowFault("NUL character")
    row: dict[str, Any] = dict(zip(header, cells, strict=True))
    return _weighted(row)


def _weighted(row: dict[str, Any]) -> dict[str, Any] | RowFault:
    text = row.pop("weight", "")
    if text == "":
        return row
    try:
        weight = float(text)
    except ValueError:
        return RowFault("wrong type", f"weight must be a number, not {text[:40]!r}")
    if not math.isfinite(weight):
        return RowFault("number is not finite", f"weight is {text}")
    return {**row, "weight": weight}


def parquet_records(path: Path) -> Iterator[Record]:
    """Rows of a Parquet file, a batch at a time; columns that are null in a row are left out.

    Raises:
        MissingDependency: pyarrow is not installed.
        DataError: the file is no Parquet.
    """
    with _parquet(path) as table:
        yield from _numbered(table.iter_batches(batch_size=1024))


def parquet_sample(path: Path, groups: int, rows: int) -> tuple[int, list[Record]] | None:
    """How many rows a Parquet file has, and the first few of so many of its row groups.

    None where there are fewer groups: the first rows of few would stand for none but themselves.

    Raises:
        MissingDependency: pyarrow is not installed.
        DataError: the file is no Parquet.
    """
    with _parquet(path) as table:
        if table.num_row_groups < groups:
            return None
        chosen = [number * table.num_row_groups // groups for number in range(groups)]
        some = (next(table.iter_batches(rows, row_groups=[one]), None) for one in chosen)
        return table.metadata.num_rows, list(_numbered(batch for batch in some if batch))


@contextmanager
def _parquet(path: Path) -> Iterator[Any]:  # pyarrow has no types
    try:
        pyarrow = import_module("pyarrow")
        parquet = import_module("pyarrow.parquet")
    except ImportError as error:
        raise MissingDependency(
            f"reading {path.name} needs pyarrow: pip install pyarrow"
        ) from error
    try:
        with parquet.ParquetFile(path) as table:
            yield table
    except pyarrow.ArrowException as error:
        raise DataError(f"{path} cannot be read as Parquet: {error}") from None


def _numbered(batches: Iterable[Any]) -> Iterator[Record]:
    rows = (row for batch in batches for row in batch.to_pylist())
    return ((number, without_nulls(row)) for number, row in enumerate(rows, start=1))


def without_nulls(value: Any) -> Any:  # any value of a column
    """``value`` without the nulls that Arrow fills in where structs of a column differ."""
    if isinstance(value, dict):
        return {key: without_nulls(part) for key, part in value.items() if part is not None}
    if isinstance(value, list):
        return [without_nulls(part) for part in value]
    return value


def hub_records(name: str) -> Iterator[Record]:
    """Rows of a hub data set, ``owner/name[@revision][:split]`` (split ``train`` if none is said).

    Raises:
        MissingDependency: the package datasets is not installed, or so old that it would run a
            script that comes with a data set.
        DataError: the data set cannot be had.
    """
    try:
        datasets = import_module("datasets")
    except ImportError as error:
        raise MissingDependency(
            f"there is no file {name!r}, and a hub data set needs the package datasets: "
            "pip install datasets"
        ) from error
    if int(datasets.__version__.partition(".")[0]) < _WITHOUT_SCRIPTS:
        raise MissingDependency(
            f"the package datasets is {datasets.__version__}, which would run a script that comes "
            f"with a data set: pip install -U 'datasets>={_WITHOUT_SCRIPTS}'"
        )
    rest, _, split = name.partition(":")
    identity, _, revision = rest.partition("@")
    try:
        rows = datasets.load_dataset(identity, split=split or "train", revision=revision or None)
    except Exception as error:  # many kinds, of several packages: network, gated, missing, script
        raise DataError(
            f"the hub data set {name!r} cannot be had: {type(error).__name__}: {error}. "
            "Check the name and split, HF_TOKEN for gated ones, and HF_HUB_OFFLINE"
        ) from error
    for number, row in enumerate(rows, start=1):
        yield number, without_nulls(row)
