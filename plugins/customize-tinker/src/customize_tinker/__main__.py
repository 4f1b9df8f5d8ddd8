"""``python -m customize_tinker MODEL``: train over the network, on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import attrs
import click

from customize import run_command
from customize_tinker.forms import Forms
from customize_tinker.limits import Limits
from customize_tinker.server import Where, serve


def main() -> None:
    """The script ``customize-tinker``."""
    run_command(command)


@click.command()
@click.argument("model")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535))
@click.option(
    "--token",
    "tokens",
    multiple=True,
    envvar="CUSTOMIZE_TINKER_TOKENS",
    help="A key to let in, and a tenant; may be given again. Better in the environment, where "
    "other users of the machine do not read it.",
)
@click.option("--name", "names", multiple=True, help="What clients may call the model as well.")
@click.option(
    "--external",
    "forms",
    multiple=True,
    metavar="FORM",
    help="What save_weights_external makes beside PEFT's adapter: merged, or an exporter's name, "
    "as onnx; may be given again.",
)
@click.option(
    "--limit",
    "limits",
    multiple=True,
    metavar="NAME=NUMBER",
    help="A bound on what clients may ask for, as queue=100; may be given again. The names are in "
    "the reference.",
)
@click.option("--backend", default="auto", show_default=True, help="Where it runs.")
@click.option(
    "--folder",
    default="tinker",
    show_default=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Where sessions, checkpoints and journals are kept.",
)
def command(
    model: str,
    host: str,
    port: int,
    tokens: Sequence[str],
    names: Sequence[str],
    forms: Sequence[str],
    limits: Sequence[str],
    backend: str,
    folder: Path,
) -> None:
    """Let clients of the Tinker API train MODEL on this machine."""
    where = Where(host, port, tuple(tokens))
    serve(model, where, folder, backend, names, Forms.named(forms), _limits(limits))


def _limits(given: Sequence[str]) -> Limits:
    """Raises UsageError, OptionError: there is no such limit, or it is out of bounds."""
    known = [field.name for field in attrs.fields(Limits)]  # type: ignore[arg-type]  # it is of attrs
    values: dict[str, int] = {}
    for name, _, number in (one.partition("=") for one in given):
        if name not in known or not number.isdecimal():
            raise click.UsageError(
                f"--limit takes NAME=NUMBER (got {name}={number}), where NAME is one of "
                f"{', '.join(known)}"
            )
        values[name] = int(number)
    return Limits(**values)


if __name__ == "__main__":
    main()
