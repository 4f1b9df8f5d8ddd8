"""``customize export``."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("export")
@click.argument("source", type=click.Path(exists=True, file_okay=False))
@click.argument("form")
@click.option("--to", required=True, type=click.Path(path_type=Path), help="A new folder.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="The form's options.")
def command(source: str, form: str, to: Path, settings: tuple[str, ...]) -> None:
    """Put the run in SOURCE into FORM, such as hf; it is left only if it answers as trained.

    \b
    customize export runs/pizza hf --to dist/pizza --set merged=true
    """
    from customize.runs.run import open as open_run
    from customize.training.recipe_file import parse_settings

    figures = open_run(source).export(form, to, **parse_settings(settings))
    click.echo(f"Written: {to}")
    for name, value in figures.items():
        click.echo(f"  {name}: {value:.3g}")
