"""``customize-rag rows``. Trains nothing."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

import customize
from customize_rag.making import made_of
from customize_rag.plan import RowPlan
from customize_rag.reading_options import (
    DOCUMENTS,
    FILE,
    PLAN,
    OnUnreadable,
    chunk_tokens_option,
    documents_of,
    encoder_option,
    index_option,
    on_unreadable_option,
)


@click.command("rows")
@click.argument("documents", type=DOCUMENTS)
@click.option("--to", required=True, type=FILE, help="The file to write.")
@click.option("--questions", help="A file of questions: question, answer, document.")
@click.option(
    "--per-context",
    default=PLAN.per_context,
    show_default=True,
    help="Questions about the same passages.",
)
@click.option("--k", default=PLAN.k, show_default=True, help="Passages shown.")
@chunk_tokens_option
@index_option
@encoder_option
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="Any other option of the rows, as near_miss=0.2 (customize plugins show rag).",
)
@on_unreadable_option
def command(
    documents: Path,
    to: Path,
    settings: tuple[str, ...],
    on_unreadable: OnUnreadable,
    **given: Any,
) -> None:
    """Write the rows that the method rag would learn from the DOCUMENTS.

    Read and edit them, then let the method learn those, by its option rows. A file that was edited
    is not written over. General prompts (replay) are not among them: the base answers those when
    the training begins.
    """
    plan = customize.options_from(RowPlan, settings, given)
    made = made_of(documents_of(documents, on_unreadable), plan)
    _write_unless_edited(to, made.rows)
    kinds = Counter(row["kind"] for row in made.rows)
    told = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    click.echo(f"{len(made.rows)} rows in {to}: {told}")
    if made.adapted is not None:
        click.echo(made.adapted)
    for one in made.left_out[:10]:
        click.echo(f"left out: {one.question!r}: {one.reason}")
    if len(made.left_out) > 10:
        click.echo(f"left out: {len(made.left_out)} questions in all")


def _write_unless_edited(to: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """All of it or, where the command is killed, nothing: what is there and differs was edited."""
    content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    if to.exists():
        if to.read_bytes() != content:
            raise customize.DataError(
                f"{to} is there, and holds other rows than these documents and options give: name "
                "another file, or delete it if nobody edited it"
            )
        return
    to.parent.mkdir(parents=True, exist_ok=True)
    beside = to.with_name(f".{to.name}.writing")
    beside.write_bytes(content)
    beside.replace(to)
