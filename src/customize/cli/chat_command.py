"""``customize chat``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from customize._printable import printable

if TYPE_CHECKING:
    from pathlib import Path

    from customize.interfaces.renderer import Message, Tool
    from customize.retrieval.grounding import Citation, GroundedAnswer
    from customize.runs.assistant import Assistant
    from customize.runs.run import Run


@click.command("chat")
@click.argument("source")
@click.option("--base", is_flag=True, help="Talk with the base instead, to compare.")
@click.option("--revision", help="Branch, tag or commit of a hub model.")
@click.option("--system", metavar="TEXT", help="A system message.")
@click.option(
    "--tools",
    "tools_file",
    metavar="FILE.json",
    type=click.Path(exists=True, dir_okay=False),
    help="Tools the model may call: a list of OpenAI's form. You type their results.",
)
@click.option(
    "--index",
    metavar="FOLDER",
    help="Documents to answer from in place of the run's (customize index build).",
)
@click.option(
    "--encoder",
    metavar="NAME[:OPTION=VALUE,…]",
    help="Whose vectors the index has, where it does not say so itself, as a package does not.",
)
@click.option(
    "--tag",
    "tags",
    multiple=True,
    metavar="TAG",
    help="A tag of yours: documents with tags are shown only to who has one of them.",
)
@click.option("--message", help="Say this, print the answer and end.")
@click.option(
    "--max-tokens",
    default=256,
    show_default=True,
    type=click.IntRange(min=1),
    help="Tokens an answer may have.",
)
@click.option(
    "--temperature",
    default=0.0,
    show_default=True,
    type=click.FloatRange(min=0),
    help="0 takes the likeliest token.",
)
def command(
    source: str,
    base: bool,
    revision: str | None,
    system: str | None,
    tools_file: str | None,
    index: str | None,
    encoder: str | None,
    tags: tuple[str, ...],
    message: str | None,
    max_tokens: int,
    temperature: float,
) -> None:
    """Talk with SOURCE: a run's folder, a package, or any model. An empty line ends it.

    Answers appear as they are made; with --tools each appears whole, a call of a tool as
    name(arguments). A run that answers from documents shows what it quotes, and from where; each
    question is asked of the documents anew. It takes no --system, no --tools.
    """
    from customize.runs.opening import open as open_run

    if message is not None and not message.strip():
        raise click.UsageError("--message is empty: say something, or leave it out to be asked")
    run = open_run(source, revision=revision)
    if run.has_assistant:
        if system is not None or tools_file is not None:
            given = "--tools" if system is None else "--system"
            raise click.UsageError(
                f"{source} answers from documents, question by question and as it was trained to: "
                f"leave out {given}, which would have it talk without them"
            )
        if temperature:
            raise click.UsageError("answers from documents are the likeliest: omit --temperature")
        assistant = run.assistant(index, base=base, encoder=encoder)
        _tell_cut(run, index)
        ask_documents(assistant, message, tags, max_tokens)
        return
    if tags or index or encoder:
        raise click.UsageError(
            "--tag, --index and --encoder are for a run that answers from documents"
        )
    tools = read_tools(tools_file) if tools_file else None
    settings = {"base": base, "max_tokens": max_tokens, "temperature": temperature}
    talk(run, system, tools, message, settings)


def _tell_cut(run: Run, index: str | None) -> None:
    """Say where the passages of another index are not as the run's."""
    from pathlib import Path

    from customize.runs.assistant import cut_otherwise

    kept = run.assistant_folder
    told = None if kept is None or index is None else cut_otherwise(kept, Path(index))
    if told is not None:
        click.echo(told, err=True)


def ask_documents(
    assistant: Assistant, message: str | None, tags: tuple[str, ...], max_tokens: int
) -> None:
    """Question by question until an empty line; only one where a ``message`` is given."""
    question = _ask(">") if message is None else message
    while question:
        show_sources(assistant.answer(question, filter=tags, max_tokens=max_tokens))
        question = _ask(">") if message is None else ""


def show_sources(answer: GroundedAnswer) -> None:
    click.echo(printable(answer.text))
    for citation in answer.citations:
        click.echo(click.style(f"  {printable(_source(citation))}", dim=True))


def _source(citation: Citation) -> str:
    where = citation.document
    if citation.span is None:
        return f'"{citation.quote}" is not what {where} says'
    return f'"{citation.quote}" {where}:{citation.span[0]}-{citation.span[1]}'


def read_tools(path: str | Path) -> list[Tool]:
    """The tools of a JSON file: ``{"type": "function", "function": {"name": …}}`` in a list.

    Raises:
        DataError: it holds something else; the message says what.
    """
    from pathlib import Path

    from customize._errors import DataError

    try:
        tools = json.loads(Path(path).read_text("utf-8"))
    except ValueError as error:
        raise DataError(f"{path} is not JSON: {error}") from None
    for number, tool in enumerate(tools if isinstance(tools, list) else [tools], start=1):
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise DataError(
                f"{path}: tool {number} must read "
                '{"type": "function", "function": {"name": ..., "parameters": {...}}}'
            )
    return tools if isinstance(tools, list) else [tools]


def talk(
    run: Run,
    system: str | None,
    tools: list[Tool] | None,
    message: str | None,
    settings: Mapping[str, Any],  # of reply, as the command's options have them
) -> None:
    """Turn by turn until an empty line; only one answer where a ``message`` is given."""
    messages: list[Message] = [{"role": "system", "content": system}] if system else []
    following = [{"role": "user", "content": message}] if message is not None else _typed({})
    while following:
        messages += following
        if tools is None:
            answer = _streamed(run, messages, settings)
        else:
            answer = run.reply_message(messages, tools=tools, **settings)
            _show(answer)
        if message is not None:
            return
        messages.append(answer)
        following = _typed(answer)


def _streamed(run: Run, messages: list[Message], settings: Mapping[str, Any]) -> Message:
    pieces = []
    for piece in run.reply(messages, stream=True, **settings):
        pieces.append(piece)
        click.echo(printable(piece), nl=False)
    click.echo()
    return {"role": "assistant", "content": "".join(pieces)}


def _show(answer: Message) -> None:
    if answer.get("reasoning_content"):
        click.echo(click.style(printable(answer["reasoning_content"]), dim=True))
    if answer.get("content"):
        click.echo(printable(answer["content"]))
    for call in answer.get("tool_calls", ()):
        click.echo(printable(_call_as_text(call["function"])))


def _call_as_text(function: Mapping[str, Any]) -> str:
    """``name(arguments)``, as Python would write the call."""
    given = function["arguments"]
    if not isinstance(given, dict):
        return f"{function['name']}({given!r})"
    return f"{function['name']}({', '.join(f'{key}={value!r}' for key, value in given.items())})"


def _typed(answer: Message) -> list[Message]:
    """What comes next: the results of the tools that were called, else what the person says."""
    calls = answer.get("tool_calls", ())
    if not calls:
        said = _ask(">")
        return [{"role": "user", "content": said}] if said else []
    results = list(_results(calls))
    return results if len(results) == len(calls) else []


def _results(calls: list[Mapping[str, Any]]) -> Iterator[Message]:
    for call in calls:
        name = call["function"]["name"]
        if result := _ask(printable(f"{name} =")):
            yield {"role": "tool", "tool_call_id": call["id"], "name": name, "content": result}


def _ask(prompt: str) -> str:
    try:
        return str(click.prompt(prompt, prompt_suffix=" ", default="", show_default=False)).strip()
    except (click.Abort, EOFError):
        return ""
