"""``customize verify``."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("verify")
@click.argument("package", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--base", help="Where the base of an adapter lies, if not under its own name.")
def command(package: Path, base: str | None) -> None:
    """Hash every file of PACKAGE, load it in a fresh process, and ask again what it was proven on.

    \b
    customize verify dist/pizza
    """
    from customize import ParityError
    from customize.cli.parity_text import parity_text
    from customize.packaging.verifying import verify

    parity = verify(package, base)
    click.echo(parity_text(parity.to_json()))
    if not parity.passed:
        raise ParityError(f"{package} does not answer as it did when it was written")
