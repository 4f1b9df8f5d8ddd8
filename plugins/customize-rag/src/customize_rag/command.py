"""``customize-rag``. Makes rows and questions, and trains nothing."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import click

import customize
from customize_rag.inventing import Ask, write_invented
from customize_rag.making import made_of
from customize_rag.plan import RowPlan

_DOCUMENTS = click.Path(path_type=Path, exists=True)
_PLAN = RowPlan()
_MAX_TOKENS = 96


@click.group()
def main() -> None:
    """Rows to learn from documents by, and questions about them."""


@main.command("rows")
@click.argument("documents", type=_DOCUMENTS)
@click.option("--to", required=True, type=click.Path(path_type=Path), help="The file to write.")
@click.option("--questions", help="A file of questions: question, answer, document.")
@click.option("--turns", default=_PLAN.turns, show_default=True, help="Questions a row.")
@click.option("--k", default=_PLAN.k, show_default=True, help="Passages shown.")
@click.option("--chunk-tokens", default=_PLAN.chunk_tokens, show_default=True, help="Of a passage.")
def _rows(
    documents: Path, to: Path, questions: str | None, turns: int, k: int, chunk_tokens: int
) -> None:
    """Write the rows that the method rag would learn from the DOCUMENTS.

    Read and edit them, then: customize train --set method=sft --data ROWS
    """
    plan = RowPlan(questions=questions, turns=turns, k=k, chunk_tokens=chunk_tokens)
    made = made_of(_read(documents), plan)
    to.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in made.rows), "utf-8")
    kinds = Counter(kind for row in made.rows for kind in row["kinds"])
    told = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    click.echo(f"{len(made.rows)} rows in {to}: {told}")
    for one in made.left_out[:10]:
        click.echo(f"left out: {one.question!r}: {one.reason}")
    if len(made.left_out) > 10:
        click.echo(f"left out: {len(made.left_out)} questions in all")


@main.command("questions")
@click.argument("documents", type=_DOCUMENTS)
@click.option("--model", required=True, help="A run, a model, or https://HOST/v1#MODEL.")
@click.option("--to", required=True, type=click.Path(path_type=Path), help="The file to add to.")
@click.option("--k", default=_PLAN.k, show_default=True, help="Passages that a question may find.")
@click.option("--chunk-tokens", default=_PLAN.chunk_tokens, show_default=True, help="Of a passage.")
@click.option("--most", default=0, show_default=True, help="Passages to ask about; 0 is all.")
def _questions(documents: Path, model: str, to: Path, k: int, chunk_tokens: int, most: int) -> None:
    """Let a MODEL ask about each passage of the DOCUMENTS.

    A question is kept if its answer is in the passage, search with it finds the passage, and the
    model, shown the passage, gives that answer. Given again, it goes on where it was stopped.
    """
    chunking = customize.Chunking(most_tokens=chunk_tokens)
    index = customize.index_of(_read(documents), chunking)
    asked = list(write_invented(index, _asking(model), to, k, most))
    kept = sum(one.reason is None for one in asked)
    click.echo(f"{kept} of {len(asked)} questions kept in {to}")
    for reason, count in Counter(one.reason for one in asked if one.reason).most_common():
        click.echo(f"{count} left out: {reason}")


def _read(documents: Path) -> customize.Dataset:
    rows = customize.document_rows(documents, report=click.echo)
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
