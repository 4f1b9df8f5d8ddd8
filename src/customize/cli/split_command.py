"""``customize split``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from customize.cli.rows import on_bad_rows, read_and_tell

if TYPE_CHECKING:
    from customize.data.reading import OnBadRows


@click.command("split")
@click.argument("data")
@click.option("--to", required=True, type=click.Path(path_type=Path), help="Folder for the files.")
@click.option(
    "--shares",
    default=(0.8, 0.1, 0.1),
    show_default=True,
    nargs=3,
    type=float,
    help="Training, development, test.",
)
@click.option("--group", help="Rows that share this field stay on one side.")
@click.option("--seed", default=0, show_default=True, help="Which rows go where.")
@on_bad_rows
def command(
    data: str,
    to: Path,
    shares: tuple[float, float, float],
    group: str | None,
    seed: int,
    on_bad_rows: OnBadRows,
) -> None:
    """Split DATA into files; near-duplicates stay on one side.

    Rows are near-duplicates when four fifths of their pairs of neighbouring words are shared
    (Jaccard similarity 0.8, system messages aside): one word in 18 changed, or fewer. Rows that
    only share an opening are none, nor are paraphrases.
    """
    from customize.data import split

    rows = read_and_tell(data, on_bad_rows)
    click.echo(split(rows, to, shares=shares, group=group, seed=seed).describe())
