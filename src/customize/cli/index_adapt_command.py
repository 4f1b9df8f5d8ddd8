"""``customize index adapt``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click


@click.command("adapt")
@click.argument("folder")
@click.argument("questions", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--reader",
    metavar="MODEL",
    help="Seek what makes the answer likely when this run or model reads it, not what holds it.",
)
@click.option(
    "--encoder",
    metavar="NAME[:OPTION=VALUE,…]",
    help="Whose vectors the index has, where it does not say so itself.",
)
def command(folder: str, questions: Path, reader: str | None, encoder: str | None) -> None:
    """Train a map of the queries of the index in FOLDER, and keep it where it finds more.

    QUESTIONS is a .jsonl file, a line each: {"question": …, "answer": …}, and "document" where it
    is known. Twenty at least that a chunk answers; a few hundred are better.
    """
    from customize.evaluation.adapting import adapt_index
    from customize.runs.opening import open as open_run

    asked = list(_questions(questions))
    read_by = None if reader is None else open_run(reader).customized
    click.echo(adapt_index(folder, asked, encoder, read_by))


def _questions(file: Path) -> Iterator[Mapping[str, Any]]:
    from customize._errors import DataError
    from customize.retrieval.documents.records import records_in

    for number, row in records_in(file):
        if not isinstance(row, Mapping) or not all(
            isinstance(row.get(name), str) and row[name].strip() for name in ("question", "answer")
        ):
            raise DataError(
                f'{file}, line {number} must read {{"question": …, "answer": …}}, and may name '
                'its "document"'
            )
        yield row
