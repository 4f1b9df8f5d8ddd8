"""``customize sign``."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("sign")
@click.argument("package", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--key",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A private key on an elliptic curve, as PEM; where it is encrypted its password is read "
    "from CUSTOMIZE_KEY_PASSWORD.",
)
def command(package: Path, key: Path) -> None:
    """Sign every file of PACKAGE, in the format of OpenSSF's model-signing.

    \b
    customize sign dist/pizza --key release.key
    """
    import os

    from customize.packaging.signing import sign

    click.echo(f"Signed: {sign(package, key, os.environ.get('CUSTOMIZE_KEY_PASSWORD'))}")
