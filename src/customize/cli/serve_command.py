"""``customize serve``."""

from __future__ import annotations

import sys
from typing import Any

import click


@click.command("serve")
@click.argument("sources", metavar="SOURCE...", nargs=-1, required=True)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="The address to listen on; beyond this machine's own a token is required.",
)
@click.option(
    "--port",
    default=8000,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="0 takes any that is free.",
)
@click.option(
    "--token-from",
    "variable",
    metavar="VARIABLE",
    help="The environment variable with the token that every request must bring.",
)
@click.option(
    "--slots",
    type=click.IntRange(min=1),
    help="Answers at once; as many as the runtime can, unless given.",
)
@click.option(
    "--queue",
    default=16,
    show_default=True,
    type=click.IntRange(min=0),
    help="Answers that wait for a slot; what comes beyond is refused (429).",
)
@click.option(
    "--max-tokens",
    default=1024,
    show_default=True,
    type=click.IntRange(min=1),
    help="Tokens an answer may have, also where a request names none.",
)
@click.option(
    "--max-body",
    default=2**20,
    show_default=True,
    type=click.IntRange(min=1),
    help="Bytes a request's body may have.",
)
@click.option(
    "--time",
    "time_s",
    default=300.0,
    show_default=True,
    type=click.FloatRange(min=0, min_open=True),
    help="Seconds an answer may take, waiting included.",
)
def command(
    sources: tuple[str, ...], host: str, port: int, variable: str | None, **given: Any
) -> None:
    """Answer over HTTP as OpenAI's API does: SOURCE is a run, a package or any model.

    Several are served side by side, and those of one base share it; a request's "model" is the
    source's last part, or the NAME of NAME=SOURCE. Ctrl-C and SIGTERM let answers under way finish;
    a second one does not.

    \b
    customize serve runs/pizza
    customize serve mine=runs/pizza base=smollm2 --port 9000
    """
    _require("starlette", "uvicorn")
    from customize.runs.serving import offers_of, token_from
    from customize.serving.address import Address
    from customize.serving.limits import Limits
    from customize.serving.server import Server

    address = Address.take(host, port, None if variable is None else token_from(variable))
    with Server(offers_of(sources), Limits(**given), address) as server:
        click.echo(f"Serving {', '.join(server.names)} at {server.url} (Ctrl-C ends)")
        number = server.wait()
    sys.exit(128 + number)


def _require(*packages: str) -> None:
    """Raises MissingDependency with the line that installs what is missing."""
    from importlib.util import find_spec

    from customize._errors import MissingDependency

    if missing := [name for name in packages if not find_spec(name)]:
        raise MissingDependency(
            f"not installed: {', '.join(missing)}; pip install 'customize[serve]'"
        )
