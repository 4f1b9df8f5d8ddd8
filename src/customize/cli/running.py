"""Running a command line: errors told plainly, exit codes, and leaving tidily. Knows no command."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import click

from customize._errors import CustomizeError, GateInconclusive, OptionError, UnknownName
from customize._printable import printable


def run_command(command: click.Command) -> None:
    """Run a command line as ``customize`` runs its own; a plugin's script calls it.

    ``-h`` is help, an error on purpose is one message and no traceback, and SIGTERM takes away
    what is half written, as Ctrl-C does.

    Exit codes: 0 done, 1 it failed or a gate did, 2 the command, an option or a recipe is wrong, 3
    a gate is inconclusive, 130 Ctrl-C, 143 SIGTERM.
    """
    try:
        with _sigterm_unwinds():
            command.main(standalone_mode=False, help_option_names=["-h", "--help"])
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        sys.exit(130)
    except CustomizeError as error:
        click.echo(printable(f"Error: {error}"), err=True)
        sys.exit(_code_of(error))


def _code_of(error: CustomizeError) -> int:
    if isinstance(error, GateInconclusive):
        return 3
    return 2 if isinstance(error, (OptionError, UnknownName)) else 1


@contextmanager
def _sigterm_unwinds() -> Iterator[None]:
    """The first one runs every ``finally``; a second one ends the process at once."""

    def leave(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
