"""``customize-rag questions``. Trains nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import click

import customize
from customize_rag.asking import asking
from customize_rag.inventing import Questioner
from customize_rag.question_file import Task, questions_of, write
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

_GIVEN = click.Path(exists=True, dir_okay=False)


@click.command("questions")
@click.argument("documents", type=DOCUMENTS)
@click.option("--model", required=True, help="A run, a model, or https://HOST/v1#MODEL.")
@click.option("--to", required=True, type=FILE, help="The file to add to.")
@click.option("--reword", metavar="FILE", type=_GIVEN, help="Ask its questions in other words.")
@click.option("--answer", metavar="FILE", type=_GIVEN, help="Answer its questions, as of a log.")
@click.option(
    "--per-passage",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Questions about each passage; with --reword wordings of each question.",
)
@click.option("--k", default=PLAN.k, show_default=True, help="Passages that a question may find.")
@chunk_tokens_option
@click.option(
    "--most", default=0, show_default=True, help="Passages, or questions of FILE; 0 is all."
)
@index_option
@encoder_option
@on_unreadable_option
def command(
    documents: Path,
    model: str,
    to: Path,
    reword: str | None,
    answer: str | None,
    per_passage: int,
    k: int,
    chunk_tokens: int,
    most: int,
    index: str,
    encoder: str | None,
    on_unreadable: OnUnreadable,
) -> None:
    """Let a MODEL ask about each passage of the DOCUMENTS, reword questions, or answer them.

    A question is kept if its answer is in the passage, it is worded as no other, search with it
    finds the passage, and the model, shown the passage, gives that answer. An answer is kept if it
    is in what the model quotes, word for word, of the passages that the question finds; one that is
    in FILE stays. Given again, it goes on where it was stopped.
    """
    if answer is not None and (reword is not None or per_passage > 1):
        raise click.UsageError("--answer adds no questions: leave out --reword and --per-passage")
    if answer is not None and to.resolve() == Path(answer).resolve():
        raise click.UsageError("--to is the file of questions without answers: name another")
    chunking = customize.Chunking(most_tokens=chunk_tokens)
    made = customize.index_of(documents_of(documents, on_unreadable), chunking, encoder, index)
    tasks = _tasks(reword, answer, Questioner(asking(model), made, k))
    asked = list(write(tasks, to, per_passage, most))
    kept = sum(one.reason is None for one in asked)
    click.echo(f"{kept} of {len(asked)} questions kept in {to}")
    for reason, count in Counter(one.reason for one in asked if one.reason).most_common():
        click.echo(f"{count} left out: {reason}")


def _tasks(reword: str | None, answer: str | None, questioner: Questioner) -> Iterator[Task]:
    if reword is not None:
        return questioner.rewording(list(questions_of(reword)))
    if answer is not None:
        return questioner.answering(list(questions_of(answer, ["question"])))
    return questioner.inventing()
