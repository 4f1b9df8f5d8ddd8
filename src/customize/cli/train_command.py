"""``customize train``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from customize.cli.settable import Settable


class _Train(Settable):
    def setting_of(self, key: str, args: Sequence[str]) -> str | None:
        from customize.training.recipe_making import place_of

        methods = [arg.partition("method=")[2] for arg in args if "method=" in arg]
        place = place_of(key, methods[-1] if methods else "sft")
        return None if place is None else f"{place}=…"


@click.command("train", cls=_Train)
@click.argument("recipe", required=False, type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="A key of the recipe, options.KEY of its method (customize plugins show sft), adapter.KEY "
    "as in adapter.rank, or backend_options.KEY of the backend that backend=NAME names.",
)
@click.option("--model", help="As --set model=…")
@click.option("--data", help="As --set data=…")
@click.option("--to", help="As --set to=…")
def command(
    recipe: Path | None,
    settings: tuple[str, ...],
    model: str | None,
    data: str | None,
    to: str | None,
) -> None:
    """Train what RECIPE (YAML) says, or what the options say without one.

    On an unfinished run's folder it goes on where that stopped.

    \b
    customize train pizza.yaml --set options.lr=1e-4
    customize train --model smollm2 --data rows.jsonl --to runs/mine
    """
    from customize.runs.final_evaluation import is_evaluated
    from customize.runs.train import run_recipe
    from customize.training.recipe_file import read_recipe, recipe_from_settings

    given = {"model": model, "data": data, "to": to}
    every = [*(f"{k}={v}" for k, v in given.items() if v is not None), *settings]
    chosen = recipe_from_settings(every) if recipe is None else read_recipe(recipe, every)
    _tell_decisions()
    run = run_recipe(chosen)
    click.echo(f"Done: {chosen.to}\n")
    if run.folder is not None and is_evaluated(run.folder):
        click.echo(f"  {chosen.to}/report.html          what the evaluation showed")
    click.echo(f"  customize chat {chosen.to}          talk with it (--base: with the base)")
    click.echo(f"  customize show {chosen.to}          what it is made of")


def _tell_decisions() -> None:
    """What our parts decide by themselves, a dtype or recomputing, is logged: a person sees it."""
    import logging

    from customize._live_line import say

    class Told(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.name.startswith("customize") or record.levelno >= logging.WARNING:
                say(record.getMessage())

    logging.basicConfig(level=logging.INFO, handlers=[Told()])
