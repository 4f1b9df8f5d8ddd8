"""``customize evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from customize.cli.evaluation_options import (
    evaluation_options,
    rows_of,
    scorers_of,
    settings_of,
    show,
)


@click.command("evaluate")
@click.argument("source")
@click.option("--revision", help="Branch, tag or commit of a hub model.")
@click.option(
    "--prompt",
    "prompts",
    multiple=True,
    metavar="TEXT",
    help="A prompt for the base to compare with; of several the best is taken.",
)
@click.option(
    "--shots",
    multiple=True,
    default=(0,),
    show_default=True,
    type=click.IntRange(min=0),
    help="A number of examples to try with each prompt.",
)
@click.option(
    "--development",
    metavar="FILE",
    help="Rows to choose the prompt and take examples from; never test rows.",
)
@click.option(
    "--against",
    multiple=True,
    metavar="NAME=SOURCE",
    help="Another run, model or https://HOST/v1#MODEL that answers too (key: CUSTOMIZE_API_KEY).",
)
@click.option(
    "--index",
    metavar="FOLDER",
    help="The run answers also with what this index finds; own is the one the run keeps.",
)
@evaluation_options
def command(
    source: str,
    revision: str | None,
    against: tuple[str, ...],
    to: Path | None,
    **given: Any,
) -> None:
    """Compare SOURCE, a run's folder, with its base on the same rows, paired, with intervals.

    \b
    customize evaluate runs/pizza --data test.jsonl --prompt "Be brief." \\
        --gate "better(right, than=prompted)"
    """
    from customize.runs.opening import open as open_run

    rows = rows_of(given)
    run = open_run(source, revision=revision)
    given["scorers"] = scorers_of(given["scorers"])
    given["prices"] = settings_of(given["prices"])
    given["judge"] = settings_of(given["judge"]) or None
    others = dict(_named(one) for one in against)
    evaluation = run.evaluate(rows, against=others, to=to, **given)
    show(evaluation, to or (run.folder.evaluation if run.folder else None))


def _named(text: str) -> tuple[str, str]:
    name, equals, source = text.partition("=")
    if not equals or not name or not source:
        raise click.BadParameter(f"--against reads NAME=SOURCE (got {text!r})")
    return name, source
