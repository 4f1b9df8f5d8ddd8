"""Rows that a command reads: the option for bad ones, and telling what was read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from customize.data.dataset import IndexedDataset
    from customize.data.reading import OnBadRows
    from customize.interfaces.dataset import Kind

on_bad_rows = click.option(
    "--on-bad-rows",
    type=click.Choice(["refuse", "skip"]),
    default="refuse",
    show_default=True,
    help="What to do with rows that cannot be used, as in training.",
)


def read_and_tell(data: str, on_bad_rows: OnBadRows, kind: Kind | None = None) -> IndexedDataset:
    """The rows, after saying on standard error what was read and what was left out."""
    from customize.data.reading import read

    rows = read(data, kind, on_bad_rows)
    click.echo(rows.account(), err=True)
    return rows
