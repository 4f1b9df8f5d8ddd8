"""``customize reproduce``."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("reproduce")
@click.argument("package", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--to", required=True, type=click.Path(path_type=Path), help="A new run folder.")
@click.option(
    "--data",
    type=click.Path(exists=True, path_type=Path),
    help="Where the training rows, or the folder of documents, are now, if not where the recipe "
    "says.",
)
@click.option(
    "--validation",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The same of the held-out rows.",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="What else lies elsewhere now, such as options.questions=FILE or adapter=FOLDER.",
)
def command(
    package: Path,
    to: Path,
    data: Path | None,
    validation: Path | None,
    settings: tuple[str, ...],
) -> None:
    """Train again what PACKAGE was made from, and say where the two runs first differ.

    The exit code is 1 where they do.

    \b
    customize reproduce dist/pizza --to runs/again
    """
    import sys

    from customize.runs.reproducing import reproduce

    found = reproduce(package, to, data, validation, settings)
    click.echo(str(found))
    if not found.is_equal:
        sys.exit(1)
