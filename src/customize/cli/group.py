"""The command itself: finds its subcommands by file."""

from __future__ import annotations

import difflib
from importlib import import_module

import click

from customize import __version__
from customize.cli.running import run_command

# The order of a person's first day.
COMMANDS = {
    "plan": "Say what a recipe will take, before anything is loaded.",
    "train": "Train from a recipe, or go on with an unfinished run.",
    "chat": "Talk with a run or a model.",
    "show": "Show what a run is made of.",
    "look": "Look at the episodes of a step, side by side.",
    "replay": "Take a step again from its episodes, and compare.",
    "evaluate": "Compare a run with its base on rows with an expectation.",
    "compare": "Compare two runs on the same rows.",
    "traits": "See, measure and correct what answers show and should not.",
    "export": "Put a run into a form that others serve, and prove that it answers alike.",
    "sign": "Sign a package with a key.",
    "verify": "See whether a package is what was written, and answers so on this machine.",
    "reproduce": "Train again what a package was made from, and say where it first differs.",
    "serve": "Answer over HTTP, as OpenAI's API does.",
    "inspect": "Show which tokens of a data set would be trained.",
    "index": "Make documents searchable, and search them.",
    "audit": "Report duplicates, odd rows, personal data and secrets.",
    "split": "Make training, development and test files.",
    "plugins": "List what is installed.",
    "doctor": "Check this machine by computing on it.",
    "new-plugin": "Make a plugin of your own to begin with.",
}


def command_of(name: str) -> click.Command:
    """The command of that name, from the file of that name."""
    command: click.Command = import_module(
        f"customize.cli.{name.replace('-', '_')}_command"
    ).command
    return command


class Commands(click.Group):
    """Subcommands that are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        return command_of(name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            near = _nearest(args[0])
            meant = f" Did you mean {near!r}?" if near else " See customize --help."
            ctx.fail(f"No command {args[0]!r}.{meant}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _nearest(name: str) -> str | None:
    """The command that was meant, which may be one within another: ``index search``."""
    known = {inner: f"{outer} {inner}" for outer in COMMANDS for inner in _within(outer)}
    known |= {outer: outer for outer in COMMANDS}
    near = difflib.get_close_matches(name, known, n=1)
    return known[near[0]] if near else None


def _within(name: str) -> list[str]:
    command = command_of(name)
    return [*command.commands] if isinstance(command, click.Group) else []


@click.group(cls=Commands)
@click.version_option(__version__, prog_name="customize")
def cli() -> None:
    """Customize language models after pre-training, and prove that it helped."""


def main() -> None:
    """The script ``customize``."""
    run_command(cli)
