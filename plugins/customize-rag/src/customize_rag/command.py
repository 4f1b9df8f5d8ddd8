"""``customize-rag``. Makes rows and questions, and trains nothing."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import click

import customize
from customize_rag.inventing import Ask, write_invented
from customize_rag.making import made_of
from customize_rag.plan import RowPlan

OnUnreadable = Literal["refuse", "skip"]

_DOCUMENTS = click.Path(path_type=Path, exists=True)
_FILE = click.Path(path_type=Path, dir_okay=False)
_PLAN = RowPlan()
_MAX_TOKENS = 96


_on_unreadable = click.option(
    "--on-unreadable",
    type=click.Choice(["refuse", "skip"]),
    default="refuse",
    show_default=True,
    help="What to do with documents that cannot be read.",
)


_index = click.option(
    "--index",
    default=_PLAN.index,
    show_default=True,
    metavar="NAME",
    help="The index's kind (customize plugins shows which there are).",
)


_encoder = click.option(
    "--encoder",
    metavar="NAME[:OPTION=VALUE,…]",
    help="What makes vectors beside the index's words; none unless given.",
)


def main() -> None:
    """The script ``customize-rag``."""
    customize.run_command(command)


@click.group()
def command() -> None:
    """Rows to learn from documents by, and questions about them."""


@command.command("rows")
@click.argument("documents", type=_DOCUMENTS)
@click.option("--to", required=True, type=_FILE, help="The file to write.")
@click.option("--questions", help="A file of questions: question, answer, document.")
@click.option(
    "--per-context",
    default=_PLAN.per_context,
    show_default=True,
    help="Questions about the same passages.",
)
@click.option("--k", default=_PLAN.k, show_default=True, help="Passages shown.")
@click.option("--chunk-tokens", default=_PLAN.chunk_tokens, show_default=True, help="Of a passage.")
@_index
@_encoder
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="Any other option of the rows, as near_miss=0.2 (customize plugins show rag).",
)
@_on_unreadable
def _rows(
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
    made = made_of(_read(documents, on_unreadable), plan)
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


@command.command("questions")
@click.argument("documents", type=_DOCUMENTS)
@click.option("--model", required=True, help="A run, a model, or https://HOST/v1#MODEL.")
@click.option("--to", required=True, type=_FILE, help="The file to add to.")
@click.option("--k", default=_PLAN.k, show_default=True, help="Passages that a question may find.")
@click.option("--chunk-tokens", default=_PLAN.chunk_tokens, show_default=True, help="Of a passage.")
@click.option("--most", default=0, show_default=True, help="Passages to ask about; 0 is all.")
@_index
@_encoder
@_on_unreadable
def _questions(
    documents: Path,
    model: str,
    to: Path,
    k: int,
    chunk_tokens: int,
    most: int,
    index: str,
    encoder: str | None,
    on_unreadable: OnUnreadable,
) -> None:
    """Let a MODEL ask about each passage of the DOCUMENTS.

    A question is kept if its answer is in the passage, search with it finds the passage, and the
    model, shown the passage, gives that answer. Given again, it goes on where it was stopped.
    """
    chunking = customize.Chunking(most_tokens=chunk_tokens)
    made = customize.index_of(_read(documents, on_unreadable), chunking, encoder, index)
    asked = list(write_invented(made, _asking(model), to, k, most))
    kept = sum(one.reason is None for one in asked)
    click.echo(f"{kept} of {len(asked)} questions kept in {to}")
    for reason, count in Counter(one.reason for one in asked if one.reason).most_common():
        click.echo(f"{count} left out: {reason}")


def _read(documents: Path, on_unreadable: OnUnreadable) -> customize.Dataset:
    rows = customize.document_rows(documents, on_unreadable, click.echo)
    return customize.read(rows, kind="documents")


def _asking(model: str) -> Ask:
    if "://" not in model:
        run = customize.open(model)
        return lambda messages: run.reply(messages, max_tokens=_MAX_TOKENS)
    endpoint = customize.Endpoint.parse(model)
    return lambda messages: _answer_of(endpoint, messages)


def _answer_of(endpoint: customize.Endpoint, messages: Sequence[customize.Message]) -> str:
    body = {"messages": list(messages), "max_tokens": _MAX_TOKENS, "temperature": 0.0}
    reply = endpoint.chat(body)
    try:
        return str(reply["choices"][0]["message"]["content"] or "")
    except (KeyError, IndexError, TypeError) as error:
        told = json.dumps(reply)[:300]
        raise customize.BackendError(f"{endpoint.url} gave no chat completion: {told}") from error
