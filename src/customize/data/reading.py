"""`read`: any source as an indexed data set. Knows the sources, and not the formats of rows."""

from __future__ import annotations

import difflib
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal, get_args

from customize._errors import DataError, OptionError, UnknownName
from customize.data.dataset import IndexedDataset, Indexing
from customize.data.faults import LISTED
from customize.data.lines import LineFile, Record
from customize.data.offered import (
    OF_AN_ENVIRONMENT,
    may_be_offered,
    reader_of,
    rows_of,
    rows_of_environment,
)
from customize.data.one_object import refuse_one_object
from customize.data.stored_index import StoredIndex
from customize.data.tables import (
    csv_records,
    hub_records,
    json_records,
    parquet_records,
    without_nulls,
)
from customize.interfaces.dataset import Dataset, Kind
from customize.plugins import find

OnBadRows = Literal["refuse", "skip"]
Source = str | Path | Iterable[Mapping[str, object]] | Dataset

_TABLES: dict[str, Callable[[Path], Iterator[Record]]] = {
    ".csv": csv_records,
    ".tsv": csv_records,
    ".parquet": parquet_records,
}
_LINES = (".jsonl", ".ndjson", ".json")
# What can be done about bad rows where they may be left out.
SKIPPING = (
    "Correct them, or leave them out, which the report counts: on_bad_rows='skip' "
    "(--on-bad-rows skip; in training --set on_bad_rows=skip)"
)
_HUB = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?(:[\w.:\[\]%-]+)?")


def read(
    source: Source, kind: str | None = None, on_bad_rows: OnBadRows = "refuse"
) -> IndexedDataset:
    """Recognise the format of ``source``, check every row, and give the rows by number.

    ``source`` is a file (JSONL, JSON, CSV, TSV, Parquet, or what a plugin reads), rows in Python,
    the name of a plugin's data set, ``environment:NAME`` for the rows that an environment comes
    with, or the name of a hub data set (``owner/name[@revision][:split]``).
    All but JSONL is spooled to a temporary file.

    Raises:
        DataError: the source is not there, in no known format or several, holds no good row,
            or has bad rows and ``on_bad_rows`` is "refuse"; the first ten are listed.
        OptionError: ``kind`` or ``on_bad_rows`` is not one of the allowed.
        MissingDependency: Parquet without pyarrow, or a hub data set without datasets.
        UnknownName, PluginError: plugins offer a data set or reader twice, or one fails.
    """
    _check_options(kind, on_bad_rows)
    if isinstance(source, IndexedDataset):
        return _same(source, kind)
    dataset = _index(source, kind)
    report = dataset.report
    if report.bad and (on_bad_rows == "refuse" or not len(dataset)):
        num_rows = report.lines - report.blank
        raise DataError(
            f"{dataset.name}: {len(report.bad)} of {num_rows} rows cannot be used\n"
            f"{report.listing()}{_where_all_are_told(dataset, source)}\n"
            f"{SKIPPING}"
        )
    if not len(dataset):
        raise DataError(f"{dataset.name} holds no rows")
    return dataset


def _check_options(kind: str | None, on_bad_rows: str) -> None:
    if kind is not None and kind not in get_args(Kind):
        raise OptionError(f"kind must be one of {', '.join(get_args(Kind))} (got {kind!r})")
    if on_bad_rows not in get_args(OnBadRows):
        raise OptionError(f"on_bad_rows must be 'refuse' or 'skip' (got {on_bad_rows!r})")


def _where_all_are_told(dataset: IndexedDataset, source: Source) -> str:
    """`audit` looks at the good rows too, and refuses a source without any."""
    if len(dataset.report.bad) <= LISTED or not len(dataset):
        return ""
    if isinstance(source, str | Path):
        return f"\nAll of them are told by customize audit {source} --json, under report.bad"
    return "\nAll of them are in read(..., on_bad_rows='skip').report.bad"


def _same(dataset: IndexedDataset, kind: str | None) -> IndexedDataset:
    if kind not in (None, dataset.kind):
        raise DataError(
            f"{dataset.name} was read as {dataset.kind}, and {kind} is needed; "
            f"read its source again with kind={kind!r}"
        )
    return dataset


def _index(source: Source, kind: str | None, name: str | None = None) -> IndexedDataset:
    """``name``: what rows in Python are called; their type says it otherwise."""
    if isinstance(source, str | Path):
        try:
            return _named(source, kind)
        except (OSError, ValueError) as error:
            if isinstance(error, DataError):
                raise
            reason = getattr(error, "strerror", None) or error
            raise DataError(f"{str(source)[:300]!r} cannot be read: {reason}") from error
    if isinstance(source, Mapping) or not (
        isinstance(source, Iterable) or hasattr(source, "__getitem__")
    ):
        raise DataError(
            f"rows come from a file, a list of dicts, an iterable or a hub data set's name; "
            f"not from a {type(source).__name__}{_splits(source)}"
        )
    if isinstance(source, Dataset):
        listed = (source[i] for i in range(len(source)))
        called = name or f"a {type(source).__name__}"
        return spooled(enumerate(listed, start=1), called, kind or source.kind)
    rows = map(without_nulls, source) if _is_of_datasets(source) else source
    return spooled(enumerate(rows, start=1), name or f"the {type(source).__name__} of rows", kind)


def _is_of_datasets(source: object) -> bool:
    """Whether the package datasets made it: its rows come out of Arrow, as those of Parquet do."""
    return type(source).__module__.partition(".")[0] == "datasets"


def _splits(source: object) -> str:
    if not (_is_of_datasets(source) and isinstance(source, Mapping)):
        return ""
    return f": give one of its splits, {', '.join(f'[{name!r}]' for name in source)}"


def _named(source: str | Path, kind: str | None) -> IndexedDataset:
    path = Path(source).expanduser()
    if not path.exists():
        if str(source).startswith(OF_AN_ENVIRONMENT):
            return _index(rows_of_environment(str(source)), kind, str(source))
        if isinstance(source, str) and _is_hub_name(source):
            return spooled(hub_records(source), source, kind)
        if isinstance(source, str) and may_be_offered(source):
            return _offered(source, kind)
        raise DataError(_not_there(path))
    if path.is_dir():
        raise DataError(_folder(path))
    records = _records_of(path)
    if records is not None:
        return spooled(records(path), str(path), kind)
    refuse_one_object(path)
    file = LineFile(path.open("rb"), str(path))
    stored = StoredIndex(path, file.descriptor, kind)
    found = stored.recall() or stored.keep(Indexing(file, kind).over(file.lines()))
    return IndexedDataset(file, found)


def has_lines(path: Path) -> bool:
    """Whether a file's rows are its lines, which are read where they lie."""
    return _records_of(path) is None


def is_parquet(path: Path) -> bool:
    """Whether a file is read as Parquet."""
    return _records_of(path) is parquet_records


def _records_of(path: Path) -> Callable[[Path], Iterable[Record]] | None:
    suffix = path.suffix.lower()
    return _TABLES.get(suffix) or reader_of(suffix) or _by_content(path)


def _offered(name: str, kind: str | None) -> IndexedDataset:
    try:
        rows = rows_of(name)
    except UnknownName as error:
        raise UnknownName(f"{_not_there(Path(name))}; and {error}") from error
    return _index(rows, kind, name)


def no_rows_named(text: str) -> str | None:
    """Why ``text`` can name no rows, without reading or fetching any; None where it may."""
    path = Path(text).expanduser()
    try:
        if path.exists() or text.startswith(OF_AN_ENVIRONMENT) or _is_hub_name(text):
            return None
        if may_be_offered(text):
            find("dataset", text)
            return None
    except UnknownName as error:
        return f"{_not_there(path)}; and {error}"
    except (OSError, ValueError):
        return None  # reading says what is wrong with it
    return _not_there(path)


def _is_hub_name(name: str) -> bool:
    return Path(name).suffix not in (*_LINES, *_TABLES) and bool(_HUB.fullmatch(name))


def _by_content(path: Path) -> Callable[[Path], Iterator[Record]] | None:
    """The reader that the first bytes ask for; None for lines. Many a .json file holds lines."""
    with path.open("rb") as stream:
        start = stream.read(2**12).removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(b"PAR1"):
        return parquet_records
    is_list = path.suffix.lower() not in (".jsonl", ".ndjson") and start.startswith(b"[")
    return json_records if is_list else None


def spooled(records: Iterable[Record], name: str, kind: str | None) -> IndexedDataset:
    """The data set of records, which lie in a file of its own that goes with it."""
    spool = tempfile.TemporaryFile("w+b", prefix="customize-")  # noqa: SIM115, the data set's own
    file = LineFile(spool, name)
    return IndexedDataset(file, Indexing(file, kind).over(file.spooled(records)))


def _folder(path: Path) -> str:
    known = (*_LINES, *_TABLES)
    inside = sorted(one.name for one in path.iterdir() if one.suffix in known)
    rows = (
        f"name a file in it: {', '.join(inside[:10])}"
        if inside
        else f"it holds no file of rows ({', '.join(known)})"
    )
    return f"{path} is a folder; {rows}. To learn from a folder of documents, set method=rag"


def _not_there(path: Path) -> str:
    try:
        near = [one.name for one in path.parent.iterdir()]
    except OSError:
        return f"there is no file {path}, nor a folder {path.parent} that can be read"
    close = difflib.get_close_matches(path.name, near, n=1)
    hint = f"; did you mean {path.with_name(close[0])}?" if close else ""
    return f"there is no file {path}{hint}"
