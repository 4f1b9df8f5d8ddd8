"""``customize-rag``. Makes rows and questions, and trains nothing."""

from __future__ import annotations

import click

import customize
from customize_rag import questions_command, rows_command


def main() -> None:
    """The script ``customize-rag``."""
    customize.run_command(command)


@click.group()
def command() -> None:
    """Rows to learn from documents by, and questions about them."""


command.add_command(rows_command.command)
command.add_command(questions_command.command)
