"""``customize inspect``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from customize.cli.output_file import in_a_folder
from customize.cli.rows import on_bad_rows, read_and_tell

if TYPE_CHECKING:
    from customize.data.reading import OnBadRows


@click.command("inspect")
@click.argument("data")
@click.option("--model", required=True, help="Whose template and tokenizer.")
@click.option("--revision", help="Branch, tag or commit of a hub model.")
@click.option(
    "--rows", default=5, show_default=True, type=click.IntRange(min=1), help="Rows to show."
)
@click.option(
    "--html",
    type=click.Path(path_type=Path),
    callback=in_a_folder,
    help="Write a page instead.",
)
@on_bad_rows
def command(
    data: str,
    model: str,
    revision: str | None,
    rows: int,
    html: Path | None,
    on_bad_rows: OnBadRows,
) -> None:
    """Show the first rows of DATA as tokens, those that would be trained marked, and counts."""
    from rich.console import Console

    from customize.data.rendering import ChatRenderer, inspect_rows
    from customize.models import resolve

    renderer = ChatRenderer.from_folder(resolve(model, revision).path)
    inspection = inspect_rows(read_and_tell(data, on_bad_rows, "chat"), renderer, limit=rows)
    if html is None:
        inspection.print(Console())
        return
    html.write_text(inspection.html(), "utf-8")
    click.echo(f"Written: {html}")
