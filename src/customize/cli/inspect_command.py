"""``customize inspect``."""

from __future__ import annotations

from pathlib import Path

import click

from customize.cli.output_file import in_a_folder


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
def command(data: str, model: str, revision: str | None, rows: int, html: Path | None) -> None:
    """Show the first rows of DATA as tokens, those that would be trained marked, and counts."""
    from rich.console import Console

    from customize.data.reading import read
    from customize.data.rendering import ChatRenderer, inspect_rows
    from customize.models import resolve

    renderer = ChatRenderer.from_folder(resolve(model, revision).path)
    read_rows = read(data, kind="chat")
    click.echo(read_rows.describe(), err=True)
    inspection = inspect_rows(read_rows, renderer, limit=rows)
    if html is None:
        inspection.print(Console())
        return
    html.write_text(inspection.html(), "utf-8")
    click.echo(f"Written: {html}")
