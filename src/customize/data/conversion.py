"""A row of any known format as a row of a kind: chat, preference, prompt or documents.

chat        {"messages": [...], ...}                      at least one answer
preference  {"messages": [...], "chosen": [...], "rejected": [...], ...}    all lists of messages
prompt      {"messages": [...], ...}                      ends before an answer
documents   {"id": ..., "text": ..., "tags"?: [...], "headings"?: [...], ...}

Columns that the format does not use are kept as they are. Reads no file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from customize.data.faults import RowFault
from customize.data.formats import COMPLETIONS, CONVERSATIONS, Format, missing
from customize.data.messages import (
    Message,
    from_json_string,
    openai_messages,
    said_by,
    sharegpt_messages,
)
from customize.data.strict_json import type_name

Source = Mapping[str, Any]  # JSON values
Row = dict[str, Any]  # JSON values


def convert(source: Source, of: Format, kind: str) -> Row:
    """``source`` as a row of ``kind``.

    Raises:
        RowFault: it cannot be one; the reason is why.
    """
    if (column := missing(source, of)) is not None:
        have = ", ".join(repr(name[:40]) for name in list(source)[:8]) or "no columns"
        raise RowFault("missing column", f"no {column!r}; there are {have}")
    row = _CONVERTERS[of.name](source)
    _check_beside(row)
    return _CHECKS[kind](row)


def _openai(source: Source) -> Row:
    column = _first(source, CONVERSATIONS)
    messages = openai_messages(source[column], column)
    return {**_without(source, column), "messages": messages}


def _sharegpt(source: Source) -> Row:
    column = _first(source, CONVERSATIONS)
    messages = sharegpt_messages(source[column], column)
    return {
        **_without(source, column, "system"),
        "messages": [*_system(source, messages)],
    }


def _alpaca(source: Source) -> Row:
    asked = said_by("user", source["instruction"], "instruction")
    if source.get("input"):
        given = said_by("user", source["input"], "input")
        asked = {**asked, "content": f"{asked['content']}\n\n{given['content']}"}
    answer = said_by("assistant", source["output"], "output")
    rest = _without(source, "instruction", "input", "output", "system")
    return {**rest, "messages": [*_system(source, [asked, answer])]}


def _prompt_completion(source: Source) -> Row:
    column = _first(source, COMPLETIONS)
    prompt = _said(source["prompt"], "user", "prompt")
    answer = _said(source[column], "assistant", column)
    rest = _without(source, "prompt", column, "system")
    return {**rest, "messages": _system(source, prompt + answer)}


def _prompt(source: Source) -> Row:
    messages = _said(source["prompt"], "user", "prompt")
    return {
        **_without(source, "prompt", "system"),
        "messages": _system(source, messages),
    }


def _preference(source: Source) -> Row:
    chosen = _said(source["chosen"], "assistant", "chosen")
    rejected = _said(source["rejected"], "assistant", "rejected")
    column = "prompt" if "prompt" in source else _first(source, CONVERSATIONS, "")
    prompt = _said(source[column], "user", column) if column else []
    shared = _num_shared(chosen, rejected)
    if shared and chosen[0]["role"] != "assistant":  # whole conversations, prompt included
        _check_prompt(prompt, chosen[:shared], column)
        prompt, chosen, rejected = chosen[:shared], chosen[shared:], rejected[shared:]
    rest = _without(source, column, "chosen", "rejected", "system")
    messages = _system(source, prompt) if prompt else []
    if column == "prompt" and source.get("messages"):
        _check_same(messages, _said(source["messages"], "user", "messages"))
    return {**rest, "messages": messages, "chosen": chosen, "rejected": rejected}


def _check_prompt(prompt: list[Message], shared: list[Message], column: str) -> None:
    """A prompt beside whole conversations must be what both of them begin with."""
    said = {message["content"] for message in shared}
    for message in prompt:
        if message["content"] not in said:
            raise RowFault(
                "different prompts", f"{column} says {message['content'][:40]!r}, chosen does not"
            )


def _check_same(prompt: list[Message], beside: list[Message]) -> None:
    """``messages`` beside a prompt may say it once more, and go on with an answer."""
    ours, theirs = ([(m["role"], m["content"]) for m in said] for said in (prompt, beside))
    if theirs[: len(ours)] != ours:
        told = "messages do not begin as prompt does: keep one of them"
        raise RowFault("different prompts", told)


def _documents(source: Source) -> Row:
    row = dict(source)
    for column in ("id", "text"):
        if not isinstance(row[column], str):
            raise RowFault("wrong type", f"{column} must be text, not {type_name(row[column])}")
    if not row["id"]:
        raise RowFault("no name", "id is empty")
    if not row["text"].strip():
        raise RowFault("empty document", f"{row['id'][:40]!r} holds no text")
    _check_headings(row.get("headings", []))
    tags = row.get("tags", [])
    if not isinstance(tags, list) or not all(isinstance(tag, str) and tag for tag in tags):
        raise RowFault("wrong type", "tags must be a list of texts, who may see it: [] is everyone")
    return row


def _check_headings(headings: object) -> None:
    of = {"level": int, "title": str, "start": int}
    if not isinstance(headings, list) or not all(
        isinstance(one, Mapping)
        and one.keys() == of.keys()
        and all(isinstance(one[key], of[key]) for key in of)
        for one in headings
    ):
        told = 'headings must read [{"level": 1, "title": "Hours", "start": 0}, ...]'
        raise RowFault("wrong type", told)


_CONVERTERS: dict[str, Callable[[Source], Row]] = {
    "openai": _openai,
    "sharegpt": _sharegpt,
    "alpaca": _alpaca,
    "prompt-completion": _prompt_completion,
    "prompt": _prompt,
    "preference": _preference,
    "documents": _documents,
}


def _chat_row(row: Row) -> Row:
    if not any(message["role"] == "assistant" for message in row["messages"]):
        raise RowFault("no assistant turn", "nothing to learn from")
    return row


def _prompt_row(row: Row) -> Row:
    messages: list[Message] = list(row["messages"])
    answer = None
    while messages and messages[-1]["role"] == "assistant":
        answer = messages.pop()["content"]
    if not any(message["role"] in ("user", "tool") for message in messages):
        raise RowFault("no prompt", "no user turn comes before an answer")
    kept = {"answer": answer} if answer is not None else {}
    return {**kept, **row, "messages": messages}


_SIDES = ("chosen", "rejected")


def _preference_row(row: Row) -> Row:
    if not row["messages"]:
        raise RowFault("no prompt", "no 'prompt', and chosen and rejected do not begin with one")
    if not any(message["content"].strip() for message in row["messages"] if _asks(message)):
        raise RowFault("no prompt", "the prompt is empty")
    for side in _SIDES:
        if not row[side] or row[side][-1]["role"] != "assistant":
            raise RowFault("empty answer", f"{side} does not end with an assistant turn")
        if row[side][0]["role"] != "assistant":
            told = "chosen and rejected must be the same up to where an answer begins"
            raise RowFault("different prompts", told)
    if row["chosen"] == row["rejected"]:
        raise RowFault("no preference", "chosen and rejected are the same")
    return row


def _asks(message: Message) -> bool:
    return message["role"] in ("user", "tool")


_CHECKS: dict[str, Callable[[Row], Row]] = {
    "chat": _chat_row,
    "prompt": _prompt_row,
    "preference": _preference_row,
    "documents": lambda row: row,
}


_LIKE = {"tools": "", "documents": ', like {"title": "Hours", "text": "Open on Mondays."}'}


def _check_beside(row: Row) -> None:
    """Check the columns that mean something in every format; JSON strings are decoded."""
    for column in ("tools", "documents"):
        if row.get(column) in (None, "", []):
            row.pop(column, None)
            continue
        row[column] = from_json_string(row[column], column)
        listed = row[column] if isinstance(row[column], list) else [None]
        if not all(isinstance(part, Mapping) for part in listed):
            raise RowFault("wrong type", f"{column} must be a list of objects{_LIKE[column]}")
    for place, document in enumerate(row.get("documents", ())):
        if not any(isinstance(text, str) and text.strip() for text in document.values()):
            raise RowFault(
                "empty document", f"documents[{place}] holds no text{_LIKE['documents']}"
            )
    weight = row.get("weight")
    if weight is None:
        row.pop("weight", None)
    elif isinstance(weight, bool) or not isinstance(weight, int | float):
        raise RowFault("wrong type", f"weight must be a number, not {type_name(weight)}")
    elif weight < 0:
        raise RowFault("negative weight", f"weight is {weight}")


def _said(value: object, role: str, where: str) -> list[Message]:
    """A string as one message of ``role``, a list as the messages it holds."""
    if isinstance(value, str) and not value.lstrip().startswith(('[{"role"', '[{"content"')):
        return [said_by(role, value, where)]
    if isinstance(value, Mapping):
        value = [value]
    if not isinstance(value, list | str):
        raise RowFault(
            "wrong type",
            f"{where} must be a string or a list of messages, not {type_name(value)}",
        )
    if value == [] and role == "assistant":
        raise RowFault("empty answer", where)
    return openai_messages(value, where)


def _system(source: Source, messages: list[Message]) -> list[Message]:
    """``messages`` after the column ``system``, where there is one and they have none."""
    if not source.get("system") or messages[0]["role"] == "system":
        return messages
    return [said_by("system", source["system"], "system"), *messages]


def _num_shared(left: list[Message], right: list[Message]) -> int:
    both = min(len(left), len(right)) - 1  # the last one is an answer, even where equal
    return next((i for i in range(both) if left[i] != right[i]), max(both, 0))


def _first(source: Source, columns: tuple[str, ...], default: str | None = None) -> str:
    found = next((column for column in columns if column in source), default)
    assert found is not None, "missing() was asked before"
    return found


def _without(source: Source, *columns: str) -> Row:
    return {key: source[key] for key in source if key not in columns}
