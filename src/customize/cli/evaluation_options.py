"""Options that ``customize evaluate`` and ``customize compare`` share. Evaluates nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from customize.evaluation import Evaluation

NUM_ITEMS = 300  # of the general suite, whose own module would import numpy here

F = TypeVar("F", bound=Callable[..., None])

_OPTIONS = (
    click.option(
        "--data", help="Rows with messages and expect; those of the environment unless given."
    ),
    click.option(
        "--environment",
        metavar="NAME",
        help="Play the rows in it: MODULE:NAME, or what a plugin offers, as gsm8k:level=3.",
    ),
    click.option(
        "--max-turns",
        default=16,
        show_default=True,
        type=click.IntRange(min=1),
        help="Replies of an episode at most.",
    ),
    click.option(
        "--solved",
        default=1.0,
        show_default=True,
        type=float,
        help="The reward from which an episode counts as solved.",
    ),
    click.option(
        "--max-tokens",
        default=64,
        show_default=True,
        type=click.IntRange(min=1),
        help="Tokens an answer may have.",
    ),
    click.option(
        "--samples",
        default=1,
        show_default=True,
        type=click.IntRange(min=1),
        help="Answers a row, drawn at the temperature; more tell noise from rows.",
    ),
    click.option(
        "--temperature",
        default=0.0,
        show_default=True,
        type=click.FloatRange(min=0),
        help="Of all columns' answers; 0 takes the likeliest.",
    ),
    click.option(
        "--scorer",
        "scorers",
        multiple=True,
        metavar="NAME[=OPTIONS]",
        help="Score every row with this too, beside its expect; options are YAML.",
    ),
    click.option(
        "--judge",
        "judge",
        multiple=True,
        metavar="KEY=VALUE",
        help="A model as judge: model=SOURCE, and criterion, of (answers or pairs), labels.",
    ),
    click.option(
        "--slice",
        "slices",
        multiple=True,
        default=("trait",),
        show_default=True,
        metavar="FIELD",
        help="A field of the rows to slice by; also length and language.",
    ),
    click.option(
        "--cluster", metavar="FIELD", help="A field that rows which belong together share."
    ),
    click.option(
        "--gate",
        "gates",
        multiple=True,
        metavar="GATE",
        help="What must be shown, or the command fails, as better(right, than=prompted).",
    ),
    click.option(
        "--price",
        "prices",
        multiple=True,
        metavar="COLUMN.KEY=NUMBER",
        help="As customized.hour=1.2, big.input=3, big.output=15 (a million tokens), or fixed.",
    ),
    click.option(
        "--general",
        is_flag=False,
        flag_value=NUM_ITEMS,
        default=0,
        metavar="[NUMBER]",
        type=click.IntRange(0, NUM_ITEMS),
        help=f"Also ask the {NUM_ITEMS} general items, or so many, to see what was broken.",
    ),
    click.option(
        "--to",
        metavar="FOLDER",
        type=click.Path(path_type=Path, file_okay=False),
        help="Where the results go; a folder of the run's unless given.",
    ),
)


def evaluation_options(command: F) -> F:
    """Add the shared options to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def scorers_of(settings: tuple[str, ...]) -> dict[str, Any]:
    """Scorers by name, with their options."""
    from customize.training.recipe_file import parse_settings

    return parse_settings([s if "=" in s else f"{s}=true" for s in settings])


def rows_of(given: dict[str, Any]) -> str | None:
    """What ``--data`` names, taken out; None where an environment may have rows of its own."""
    data: str | None = given.pop("data")
    if data is None and given["environment"] is None:
        raise click.UsageError("give --data FILE, rows with messages and expect")
    return data


def settings_of(settings: tuple[str, ...]) -> dict[str, Any]:
    """Values by key, as of prices by column."""
    from customize.training.recipe_file import parse_settings

    return parse_settings(settings)


def show(evaluation: Evaluation, folder: Path | None) -> None:
    """The table, the gates, and where the results are; fails where a gate does."""
    from rich.console import Console

    from customize.evaluation.table import table
    from customize.runs.evaluating import raise_for_gates

    Console().print(table(evaluation))
    for gate in evaluation.gates:
        click.echo(f"{gate.verdict}: {gate.gate}: {gate.told}")
    if folder is not None:
        click.echo(f"Results: {folder}\nReport: {folder / 'report.html'}")
    raise_for_gates(evaluation)
