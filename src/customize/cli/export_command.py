"""``customize export``."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

import click

from customize.cli.settable import Settable


class _Export(Settable):
    def setting_of(self, key: str, args: Sequence[str]) -> str | None:
        from customize._options import options_of
        from customize.plugins import load, names

        forms = set(names("exporter"))
        known = {
            o.name: o for arg in args if arg in forms for o in options_of(load("exporter", arg))
        }
        if key not in known:
            return None
        return f"{key}=true" if known[key].type is bool else f"{key}=…"

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Which forms there are is known by the plugins alone."""
        from customize.plugins import names

        forms = ", ".join(names("exporter")) or "none: install a plugin such as customize-hf"
        formatter.write_paragraph()
        formatter.write_text(
            f"Forms that are installed: {forms}. The options of one: customize plugins show FORM"
        )


@click.command("export", cls=_Export)
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
@click.option(
    "--without-rows",
    is_flag=True,
    help="Ask fixed prompts alone, where the run's own rows are gone; its manifest says so.",
)
def command(
    source: str,
    form: str,
    to: Path,
    settings: tuple[str, ...],
    margin: float,
    despite_parity: bool,
    without_rows: bool,
) -> None:
    """Put the run in SOURCE into FORM, such as hf; it is left only if it answers as trained.

    \b
    customize export runs/pizza hf --to dist/pizza --set merged=true
    """
    from customize.cli.parity_text import parity_text
    from customize.runs.opening import open as open_run
    from customize.training.recipe_file import parse_settings

    run = open_run(source)
    manifest = run.export(
        form,
        to,
        margin=margin,
        despite_parity=despite_parity,
        without_rows=without_rows,
        **parse_settings(settings),
    )
    assert run.model is not None  # else nothing is exported
    commands = manifest.commands(shlex.quote(str(to)), shlex.quote(str(run.model.path)))
    click.echo(f"Written: {to}")
    click.echo(parity_text(manifest.parity))
    for who, command in commands.items():
        click.echo(f"{who}: {command}")
