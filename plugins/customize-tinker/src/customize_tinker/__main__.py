"""``python -m customize_tinker MODEL``: train over the network, on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

import customize
from customize_tinker.server import Where, make_app, make_server


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
@click.option("--backend", default="auto", show_default=True, help="Where it runs.")
@click.option(
    "--folder",
    default="tinker",
    show_default=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Where sessions, checkpoints and journals are kept.",
)
def main(
    model: str,
    host: str,
    port: int,
    tokens: Sequence[str],
    names: Sequence[str],
    backend: str,
    folder: Path,
) -> None:
    """Let clients of the Tinker API train MODEL on this machine."""
    where = Where(host, port, tuple(tokens))
    try:
        chosen = customize.choose_backend(backend)
        app = make_app(chosen, customize.resolve(model), folder, where, (model, *names))
    except customize.CustomizeError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"TINKER_BASE_URL=http://{host}:{port} TINKER_API_KEY={_a_key(tokens)}", err=True)
    make_server(app, where).run()


def _a_key(tokens: Sequence[str]) -> str:
    return "one of your tokens" if tokens else "tml-anything"


if __name__ == "__main__":
    main()
