"""``customize look``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from customize._printable import printable

if TYPE_CHECKING:
    from rich.table import Table

Episode = Mapping[str, Any]  # JSON values


@click.command("look")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--step", type=click.IntRange(min=1), help="The last one, unless given.")
@click.option(
    "--groups", default=3, show_default=True, type=click.IntRange(min=1), help="How many to show."
)
@click.option(
    "--side-by-side",
    default=4,
    show_default=True,
    type=click.IntRange(min=1),
    help="Episodes of a group: the best and the worst of them.",
)
def command(folder: Path, step: int | None, groups: int, side_by_side: int) -> None:
    """Look at the episodes of a step of the run in FOLDER, side by side.

    Green did better than its siblings, red worse; what has no advantage taught nothing.
    """
    from rich.console import Console

    from customize.runs.folder import RunFolder

    episodes = RunFolder(folder).episodes(step)
    console = Console()
    console.print(f"step {episodes[0]['step']}: {len(episodes)} episodes")
    numbers = list(dict.fromkeys(episode["group"] for episode in episodes))
    for number in numbers[:groups]:
        members = [episode for episode in episodes if episode["group"] == number]
        console.print(_table(members, side_by_side))
    if len(numbers) > groups:
        console.print(f"{len(numbers) - groups} more groups: --groups {len(numbers)}")


def _table(members: Sequence[Episode], limit: int) -> Table:
    """The best first and the worst last; in the title how many failed."""
    from rich.table import Table
    from rich.text import Text

    shown = _shown(members, limit)
    failed = sum(episode["reward"] is None for episode in members)
    title = f"row {members[0]['place'] + 1}" + (f", {failed} failed" if failed else "")
    table = Table(title=title, show_lines=True)
    for episode in shown:
        table.add_column(
            Text(printable(_head(episode)), style=_style(episode)), overflow="fold", ratio=1
        )
    table.add_row(*(_said(episode) for episode in shown))
    return table


def _shown(members: Sequence[Episode], limit: int) -> list[Episode]:
    """The best and the worst; what failed has no reward, and comes behind where there is room."""
    failed = [episode for episode in members if episode["reward"] is None]
    sound = [episode for episode in members if episode["reward"] is not None]
    sound.sort(key=lambda episode: -float(episode["reward"]))
    half = limit // 2
    if len(sound) > limit:
        return sound[: limit - half] + sound[len(sound) - half :]
    return [*sound, *failed][:limit]


def _head(episode: Episode) -> str:
    if episode["error"]:
        return f"failed: {episode['error'][:60]}"
    if episode["reward"] is None:
        return "left out: a sibling failed"
    parts = "".join(f"\n{name} {value:.3g}" for name, value in episode["parts"].items())
    advantage = episode["advantage"]
    told = "taught nothing" if advantage is None else f"advantage {advantage:+.3f}"
    cut = "" if episode["stop"] == "done" else f", cut ({episode['stop']})"
    counted = episode.get("counted")
    instead = "" if counted in (None, episode["reward"]) else f", counted as {counted:.3f}"
    return f"reward {episode['reward']:.3f}{instead}, {told}{cut}{parts}"


def _style(episode: Episode) -> str:
    advantage = episode["advantage"]
    if not advantage:
        return "dim"
    return "bold green" if advantage > 0 else "bold red"


def _said(episode: Episode) -> Any:  # a renderable of rich, which is imported when used
    from rich.text import Text

    text = Text()
    for message in episode["messages"]:
        model = message["role"] == "assistant"
        said = printable(message["content"].strip())
        text.append("" if model else f"{printable(message['role'])}: ", style="dim")
        text.append(said + "\n", style=_style(episode) if model else "dim")
    return text
