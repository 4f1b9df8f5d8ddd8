"""``customize verify``."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("verify")
@click.argument("package", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--base", help="Where the base of an adapter lies, if not under its own name.")
@click.option(
    "--key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The public key (PEM) of who must have signed it.",
)
def command(package: Path, base: str | None, key: Path | None) -> None:
    """Hash every file of PACKAGE, load it in a fresh process, and ask again what it was proven on.

    \b
    customize verify dist/pizza
    customize verify dist/pizza --key release.pub
    """
    from customize import ParityError
    from customize.cli.parity_text import parity_text
    from customize.packaging.verifying import verify

    parity = verify(package, base, key)
    click.echo(_signed(package, key))
    click.echo(parity_text(parity.to_json()))
    if not parity.passed:
        raise ParityError(f"{package} does not answer as it did when it was written")


def _signed(package: Path, key: Path | None) -> str:
    from customize.packaging.manifest import SIGNATURE

    if key is not None:
        return f"Signature: by the holder of {key}"
    there = (package / SIGNATURE).is_file()
    return "Signature: not checked, give --key" if there else "Signature: none"
