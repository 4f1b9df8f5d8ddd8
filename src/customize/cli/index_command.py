"""``customize index``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from customize._errors import DataError
from customize._printable import printable
from customize.cli.index_adapt_command import command as adapt

if TYPE_CHECKING:
    from customize.interfaces.index import Hit, Index

F = TypeVar("F", bound=Callable[..., None])

_READING = (
    click.option(
        "--on-unreadable",
        type=click.Choice(["refuse", "skip"]),
        default="refuse",
        show_default=True,
        help="What to do with files that cannot be read.",
    ),
    click.option(
        "--on-sensitive",
        type=click.Choice(["tell", "refuse"]),
        default="tell",
        show_default=True,
        help="What to do where secrets or personal data are found.",
    ),
    click.option(
        "--timeout",
        "timeout_s",
        type=float,
        default=60.0,
        show_default=True,
        metavar="SECONDS",
        help="What reading one file may take.",
    ),
)


encoder_option = click.option(
    "--encoder",
    metavar="NAME[:OPTION=VALUE,…]",
    help="What makes vectors beside the words, as sentence-transformers:model=FOLDER; an index "
    "remembers its own.",
)


def reading_options(command: F) -> F:
    """Add what `build` and `update` share."""
    for option in reversed(_READING):
        command = option(command)
    return command


@click.group("index")
def command() -> None:
    """Make documents searchable, keep them so, and search them.

    \b
    customize index build docs --to indexes/docs
    customize index update indexes/docs docs
    customize index search indexes/docs "When are you open?"
    customize index check indexes/docs
    customize index adapt indexes/docs questions.jsonl
    """


command.add_command(adapt)


@command.command("build")
@click.argument("docs")
@click.option("--to", required=True, metavar="FOLDER", help="A new folder for the index.")
@click.option(
    "--index",
    default="sqlite",
    show_default=True,
    metavar="NAME",
    help="Its kind (customize plugins shows which there are).",
)
@click.option(
    "--most-tokens", type=int, default=400, show_default=True, help="Tokens a chunk may have."
)
@click.option(
    "--overlap",
    type=float,
    default=0.15,
    show_default=True,
    help="Of that, how much of a chunk's end begins the next one.",
)
@click.option(
    "--tokenizer",
    metavar="MODEL",
    help="A model whose tokens are counted; else they are estimated from words.",
)
@encoder_option
@reading_options
def build(
    docs: str, to: str, most_tokens: int, overlap: float, tokenizer: str | None, **given: Any
) -> None:
    """Index DOCS: a folder, or a .jsonl file of records."""
    from customize.retrieval.building import build_index
    from customize.retrieval.chunking import Chunking

    chunking = Chunking(most_tokens=most_tokens, overlap=overlap, tokenizer=tokenizer)
    click.echo(build_index(docs, to, chunking=chunking, report=_tell, **given))


@command.command("update")
@click.argument("folder")
@click.argument("docs")
@encoder_option
@reading_options
def update(folder: str, docs: str, **given: Any) -> None:
    """Make the index in FOLDER one of DOCS as they are now; only what changed is read again.

    FOLDER may be a package that answers from documents: it then answers from DOCS, and its weights
    stay.
    """
    from customize.packaging.manifest import MANIFEST, SIGNATURE
    from customize.retrieval.building import update_index
    from customize.runs.assistant_package import update_package

    if not (Path(folder) / MANIFEST).is_file():
        _refuse_run(folder)
        click.echo(update_index(folder, docs, report=_tell, **given))
        return
    was_signed = (Path(folder) / SIGNATURE).is_file()
    click.echo(update_package(folder, docs, report=_tell, **given))
    if was_signed and not (Path(folder) / SIGNATURE).is_file():
        click.echo(f"Its signature was of what it held before: customize sign {folder} --key …")


@command.command("search")
@click.argument("folder")
@click.argument("query")
@click.option(
    "-k", type=click.IntRange(min=1), default=5, show_default=True, help="Chunks at most."
)
@click.option(
    "--tag",
    "tags",
    multiple=True,
    metavar="TAG",
    help="A tag of who asks: what only others may see is not found.",
)
@click.option("--all", "may_see_all", is_flag=True, help="Who asks may see everything.")
@encoder_option
def search(
    folder: str,
    query: str,
    k: int,
    tags: tuple[str, ...],
    may_see_all: bool,
    encoder: str | None,
) -> None:
    """Show the chunks of the index in FOLDER, or in a package there, that fit QUERY best."""
    if tags and may_see_all:
        raise click.UsageError("--all sees everything, whatever the tags: give --tag or --all")
    index = _opened(folder, encoder)
    hits = index.search(query, k, None if may_see_all else tags)
    if not hits:
        click.echo(f"Nothing in {len(index):,} chunks fits: no word of it is there to be seen.")
    for number, hit in enumerate(hits, start=1):
        click.echo("\n".join(_shown(number, hit)))


@command.command("check")
@click.argument("folder")
@encoder_option
def check(folder: str, encoder: str | None) -> None:
    """Look through all of the index in FOLDER, or in a package there, for damage."""
    index = _opened(folder, encoder)
    index.check()
    click.echo(f"{folder}: {len(index):,} chunks, and all of them are whole")


def _opened(folder: str, encoder: str | None) -> Index:
    from customize.retrieval.index_folder import open_index
    from customize.runs.assistant import INDEX, encoder_for, packaged_assistant

    kept = packaged_assistant(Path(folder))
    if kept is None:
        _refuse_run(folder)
        return open_index(folder, encoder)
    return open_index(kept / INDEX, encoder_for(kept, encoder))


def _refuse_run(folder: str) -> None:
    from customize.runs.assistant import INDEX
    from customize.runs.folder import RunFolder

    run = RunFolder(Path(folder))
    if not run.exists:
        return
    if (kept := run.assistant_kept()) is None:
        raise DataError(
            f"{folder} is a run, which answers from no documents: build an index of some with "
            "customize index build DOCS --to FOLDER"
        )
    raise DataError(
        f"{folder} is a run, whose own index is {kept / INDEX}: search that. It answers from other "
        f"documents with customize index build DOCS --to FOLDER and customize chat {folder} "
        "--index FOLDER; or export it, and update the package"
    )


def _tell(line: str) -> None:
    click.echo(printable(line, keeping=""), err=True)


def _shown(number: int, hit: Hit) -> list[str]:
    import textwrap

    chunk = hit.chunk
    head = [f"[{number}] {chunk.document}, characters {chunk.span[0]}-{chunk.span[1]}"]
    head += [" > ".join(chunk.heading)] if chunk.heading else []
    head += [f"only for: {', '.join(sorted(chunk.tags))}"] if chunk.tags else []
    head = [printable(line, keeping="")[:79] for line in head]
    text = printable(" ".join(chunk.text.split()))
    body = textwrap.wrap(text, 76, max_lines=4, placeholder=" ...")
    return [*head, *(f"    {line}" for line in body), ""]
