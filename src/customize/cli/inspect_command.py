"""``customize inspect``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from customize.cli.output_file import in_a_folder
from customize.cli.rows import on_bad_rows, read_and_tell

if TYPE_CHECKING:
    from customize.data.reading import OnBadRows


@click.command("inspect")
@click.argument("data")
@click.option("--model", help="Whose template and tokenizer.")
@click.option(
    "--reward",
    multiple=True,
    metavar="MODULE:NAME",
    help="Show in place of tokens what a reward gives to answers: a row's own, none, another's.",
)
@click.option("--revision", help="Branch, tag or commit of a hub model.")
@click.option(
    "--rows", default=5, show_default=True, type=click.IntRange(min=1), help="Rows to show."
)
@click.option(
    "--html",
    type=click.Path(path_type=Path),
    callback=in_a_folder,
    help="Write a page instead.",
)
@on_bad_rows
def command(
    data: str,
    model: str | None,
    reward: tuple[str, ...],
    revision: str | None,
    rows: int,
    html: Path | None,
    on_bad_rows: OnBadRows,
) -> None:
    """Show the first rows of DATA as tokens, those that would be trained marked, and counts.

    DATA holds conversations with answers, as sft learns from; with --reward prompts will do.

    \b
    customize inspect rows.jsonl --model smollm2
    customize inspect sums.jsonl --reward my_rewards:correct
    """
    if reward:
        _show_rewards(data, reward, rows, on_bad_rows)
        return
    if model is None:
        raise click.UsageError("give --model, whose tokens to show, or --reward")
    from rich.console import Console

    from customize.data.rendering import ChatRenderer, inspect_rows
    from customize.models import resolve

    renderer = ChatRenderer.from_folder(resolve(model, revision).path)
    inspection = inspect_rows(read_and_tell(data, on_bad_rows, "chat"), renderer, limit=rows)
    if html is None:
        inspection.print(Console())
        return
    html.write_text(inspection.html(), "utf-8")
    click.echo(f"Written: {html}")


_SOUND = "No row's own answer is worth less than others, as far as the reward looks at answers."
_NOTHING = (
    "Nothing was compared: no row has a column answer, where its own answer is looked for. Give "
    "that name to the column that says what is right, and ask for it in the reward."
)


def _show_rewards(data: str, names: tuple[str, ...], rows: int, on_bad_rows: OnBadRows) -> None:
    from rich.console import Console
    from rich.table import Table

    from customize.rollouts.checking import check_reward, compared, ties, worse
    from customize.rollouts.rewards import Reward

    reward = Reward.of(names)
    read_rows = read_and_tell(data, on_bad_rows, "prompt")
    table = Table("row", "its own answer", "no answer", "another row's answer")
    found = list(compared(reward, read_rows, rows))
    for one in found:
        other = "" if one.other is None else f"{one.other:g}"
        table.add_row(str(one.row), f"{one.own:g}", f"{one.empty:g}", other)
    Console().print(table)
    told = check_reward(reward, read_rows) or worse(found) or ties(found)
    click.echo(told or (_SOUND if found else _NOTHING))
