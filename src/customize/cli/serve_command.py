"""``customize serve``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

_TRAINING = frozenset({"sources", "host", "port", "variable", "train"})


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
    "--asker",
    "askers",
    multiple=True,
    metavar="VARIABLE=TAG,TAG",
    help="A further variable with a token, and the tags of who brings it: which documents may be "
    "seen, where the source answers from some.",
)
@click.option(
    "--encoder",
    metavar="NAME[:OPTION=VALUE,…]",
    help="Whose vectors the indexes of packages have, as sentence-transformers:model=FOLDER; those "
    "of runs say so themselves.",
)
@click.option(
    "--base",
    metavar="FOLDER",
    help="Where the base of packages that hold an adapter alone lies, if not under its own name.",
)
@click.option(
    "--slots",
    type=click.IntRange(min=1),
    help="Answers at once, at most as many as the runtime can; that many unless given.",
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
@click.option(
    "--train",
    is_flag=True,
    help="Let clients of the Tinker API train the one SOURCE, a model, instead; what more can be "
    "set `customize-tinker` takes.",
)
@click.pass_context
def command(
    context: click.Context,
    /,
    sources: tuple[str, ...],
    host: str,
    port: int,
    variable: str | None,
    askers: tuple[str, ...],
    encoder: str | None,
    base: str | None,
    train: bool,
    **given: Any,
) -> None:
    """Answer over HTTP as OpenAI's API does: SOURCE is a run, a package or any model.

    Several are served side by side, and those of one base share it; a request's "model" is the
    source's last part, or the NAME of NAME=SOURCE. Ctrl-C and SIGTERM let answers under way finish;
    a second one does not.

    \b
    customize serve runs/pizza
    customize serve mine=runs/pizza base=smollm2 --port 9000
    customize serve --train smollm2
    """
    if train:
        _train(context, sources, host, port, variable)
        return
    _require("starlette", "uvicorn")
    from customize.runs.serving import askers_from, offers_of, token_from
    from customize.serving.address import Address
    from customize.serving.limits import Limits
    from customize.serving.server import Server

    token = None if variable is None else token_from(variable)
    address = Address.take(host, port, token, askers_from(askers))
    offers = offers_of(sources, encoder=encoder, base=base)
    with Server(offers, Limits(**given), address) as server:
        click.echo(f"Serving {', '.join(server.names)} at {server.url} (Ctrl-C ends)")
        number = server.wait()
    sys.exit(128 + number)


def _train(
    context: click.Context, sources: tuple[str, ...], host: str, port: int, variable: str | None
) -> None:
    """Hand over to the plugin that speaks the protocol."""
    others = [p.opts[0] for p in context.command.params if p.name not in _TRAINING]
    given = [p.opts[0] for p in context.command.params if _is_given(context, p)]
    if wrong := [option for option in others if option in given]:
        raise click.UsageError(f"--train takes no {', '.join(wrong)}")
    if len(sources) > 1:
        raise click.UsageError(f"--train takes one model (got {', '.join(sources)})")
    _require("customize_tinker", extra="tinker")
    from importlib import import_module

    from customize.runs.serving import token_from

    server = import_module("customize_tinker.server")
    tokens = () if variable is None else (token_from(variable),)
    server.serve(sources[0], server.Where(host, port, tokens), Path("tinker"))


def _is_given(context: click.Context, parameter: click.Parameter) -> bool:
    source = context.get_parameter_source(parameter.name or "")
    return source is not click.core.ParameterSource.DEFAULT


def _require(*packages: str, extra: str = "serve") -> None:
    """Raises MissingDependency with the line that installs what is missing."""
    from importlib.util import find_spec

    from customize._errors import MissingDependency

    if missing := [name for name in packages if not find_spec(name)]:
        raise MissingDependency(
            f"not installed: {', '.join(missing)}; pip install 'customize[{extra}]'"
        )
