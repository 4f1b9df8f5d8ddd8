"""``customize export``."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("export")
@click.argument("source", type=click.Path(exists=True, file_okay=False))
@click.argument("form")
@click.option("--to", required=True, type=click.Path(path_type=Path), help="A new folder.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="The form's options.")
@click.option(
    "--margin",
    type=click.FloatRange(0, min_open=True),
    default=0.05,
    show_default=True,
    help="How much worse than the run a quantized package may be on the rows of its evaluation.",
)
@click.option(
    "--despite-parity",
    is_flag=True,
    help="Keep a package that answers otherwise than the run; its manifest and card say so.",
)
def command(
    source: str,
    form: str,
    to: Path,
    settings: tuple[str, ...],
    margin: float,
    despite_parity: bool,
) -> None:
    """Put the run in SOURCE into FORM, such as hf; it is left only if it answers as trained.

    \b
    customize export runs/pizza hf --to dist/pizza --set merged=true
    """
    from customize.cli.parity_text import parity_text
    from customize.runs.opening import open as open_run
    from customize.training.recipe_file import parse_settings

    manifest = open_run(source).export(
        form, to, margin=margin, despite_parity=despite_parity, **parse_settings(settings)
    )
    click.echo(f"Written: {to}")
    click.echo(parity_text(manifest.parity))
    for who, how in manifest.how_to_run.items():
        click.echo(f"{who}: {how.format(folder=to)}")
