"""Options of every command that reads documents. Knows no command."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

import customize
from customize_rag.plan import RowPlan

OnUnreadable = Literal["refuse", "skip"]

DOCUMENTS = click.Path(path_type=Path, exists=True)
FILE = click.Path(path_type=Path, dir_okay=False)
PLAN = RowPlan()

on_unreadable_option = click.option(
    "--on-unreadable",
    type=click.Choice(["refuse", "skip"]),
    default="refuse",
    show_default=True,
    help="What to do with documents that cannot be read.",
)
index_option = click.option(
    "--index",
    default=PLAN.index,
    show_default=True,
    metavar="NAME",
    help="The index's kind (customize plugins shows which there are).",
)
encoder_option = click.option(
    "--encoder",
    metavar="NAME[:OPTION=VALUE,…]",
    help="What makes vectors beside the index's words; none unless given.",
)
chunk_tokens_option = click.option(
    "--chunk-tokens", default=PLAN.chunk_tokens, show_default=True, help="Of a passage."
)


def documents_of(folder: Path, on_unreadable: OnUnreadable) -> customize.Dataset:
    """The documents as a data set; what is not read and what is sensitive is told."""
    rows = customize.document_rows(folder, on_unreadable, click.echo)
    return customize.read(rows, kind="documents")
