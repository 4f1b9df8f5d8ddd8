"""``customize split``."""

from __future__ import annotations

from pathlib import Path

import click


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
def command(
    data: str, to: Path, shares: tuple[float, float, float], group: str | None, seed: int
) -> None:
    """Split DATA into files; near-duplicates stay on one side."""
    from customize.data import split

    click.echo(split(data, to, shares=shares, group=group, seed=seed).describe())
