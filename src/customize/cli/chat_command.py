"""``customize chat``."""

from __future__ import annotations

import click


@click.command("chat")
@click.argument("source")
@click.option("--base", is_flag=True, help="Talk with the base instead, to compare.")
@click.option("--system", help="A system message.")
@click.option("--message", help="Say this, print the answer and end.")
@click.option(
    "--max-tokens",
    default=256,
    show_default=True,
    type=click.IntRange(min=1),
    help="Tokens an answer may have.",
)
@click.option(
    "--temperature",
    default=0.0,
    show_default=True,
    type=click.FloatRange(min=0),
    help="0 takes the likeliest token.",
)
def command(
    source: str,
    base: bool,
    system: str | None,
    message: str | None,
    max_tokens: int,
    temperature: float,
) -> None:
    """Talk with SOURCE: a run's folder, or any model. An empty line ends it."""
    from customize.runs.run import open as open_run

    run = open_run(source)
    messages = [{"role": "system", "content": system}] if system else []
    while True:
        said = message if message is not None else _ask()
        if not said:
            return
        messages.append({"role": "user", "content": said})
        pieces = []
        for piece in run.reply(
            messages, stream=True, base=base, max_tokens=max_tokens, temperature=temperature
        ):
            pieces.append(piece)
            click.echo(piece, nl=False)
        click.echo()
        if message is not None:
            return
        messages.append({"role": "assistant", "content": "".join(pieces)})


def _ask() -> str:
    try:
        return str(click.prompt(">", prompt_suffix=" ", default="", show_default=False)).strip()
    except (click.Abort, EOFError):
        return ""
