"""Data sets by name, rows of environments, readers by suffix, as plugins offer them.

Knows no format of rows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from customize._errors import DataError, PluginError, UnknownName
from customize.data.lines import Record
from customize.plugins import load, specs
from customize.plugins.specs import ReaderSpec

OF_AN_ENVIRONMENT = "environment:"  # before its name: the rows it comes with
_NAME = re.compile(r"([\w.-]+:)?[a-z0-9][a-z0-9-]*")


def may_be_offered(name: str) -> bool:
    """Whether ``name`` is written as a plugin's data set is, and there are such data sets."""
    return bool(_NAME.fullmatch(name)) and bool(specs("dataset"))


def rows_of(name: str) -> Any:  # a path, rows or a Dataset: whatever the plugin gives
    """What the plugin gives for the data set ``name``.

    Raises:
        UnknownName: nobody provides it, or more than one does.
        PluginError: its code fails.
    """
    made = load("dataset", name)
    try:
        rows = made()
    except Exception as error:  # a plugin's code
        raise PluginError(f"the dataset {name!r} fails: {_told(error)}") from error
    return Path(rows) if isinstance(rows, str) else rows


def rows_of_environment(name: str) -> Any:  # as rows_of
    """What ``environment:gsm8k:level=3`` gives.

    Raises:
        OptionError, UnknownName: it comes with no rows, an option is wrong, or nobody offers it.
        PluginError: its code fails.
    """
    from customize.plugins.environments import rows_of

    return rows_of(name.removeprefix(OF_AN_ENVIRONMENT))


def reader_of(suffix: str) -> Callable[[Path], Iterator[Record]] | None:
    """A plugin's reader for files that end in ``suffix``, or None.

    Raises:
        UnknownName: two plugins read such files.
        PluginError: the reader cannot be imported.
    """
    names = [name for name, spec in specs("reader").items() if _reads(spec, suffix)]
    if len(names) > 1:
        raise UnknownName(
            f"{len(names)} plugins read {suffix} files ({', '.join(names)}): leave one out with "
            "CUSTOMIZE_PLUGINS=-DISTRIBUTION"
        )
    if not names:
        return None
    read = load("reader", names[0])
    return lambda path: _records(names[0], read, path)


def _reads(spec: object, suffix: str) -> bool:
    return isinstance(spec, ReaderSpec) and suffix in spec.suffixes


def _records(name: str, read: Any, path: Path) -> Iterator[Record]:
    try:
        yield from enumerate(read(path), start=1)
    except Exception as error:  # a plugin's code, for a file of any content
        raise DataError(f"{path}: the reader {name!r} fails: {_told(error)}") from error


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
