"""The shapes data sets come in, told by their columns. Converts nothing and reads no file."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from customize._errors import DataError

CONVERSATIONS = ("messages", "conversations", "conversation")
COMPLETIONS = ("completion", "response")


@attrs.frozen
class Format:
    """A known shape; ``columns`` is how a user would write it down."""

    name: str
    label: str
    columns: str
    kind: str


FORMATS = {
    known.name: known
    for known in (
        Format(
            "openai",
            "OpenAI messages",
            "messages: [{role, content}, ...], tools?, documents?",
            "chat",
        ),
        Format("sharegpt", "ShareGPT", "conversations: [{from, value}, ...]", "chat"),
        Format("alpaca", "Alpaca", "instruction, input?, output", "chat"),
        Format("prompt-completion", "prompt/completion", "prompt, completion", "chat"),
        Format("preference", "preference pairs", "prompt, chosen, rejected", "preference"),
        Format("prompt", "prompts only", "prompt", "prompt"),
        Format("documents", "documents", "id, text, tags?, headings?", "documents"),
    )
}

# A row of a file of the key's format that lacks a column looks like one of the value's.
_LESS = {
    "preference": {"prompt", "openai", "sharegpt", "prompt-completion"},
    "prompt-completion": {"prompt"},
    "alpaca": {"prompt"},
}


def candidates(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Formats that ``row`` may be of; two where an empty or damaged list could be either."""
    if "chosen" in row and "rejected" in row:
        return ("preference",)
    for column in CONVERSATIONS:
        if column in row:
            return _conversation(row[column])
    if "instruction" in row and "output" in row:
        return ("alpaca",)
    if "prompt" in row:
        answered = any(column in row for column in COMPLETIONS)
        return ("prompt-completion",) if answered else ("prompt",)
    return ("documents",) if "id" in row and "text" in row else ()


def _conversation(turns: object) -> tuple[str, ...]:
    if isinstance(turns, str):
        start = turns[:2000]
        keys = [key for key in ("from", "value", "role", "content") if f'"{key}"' in start]
    else:
        first = turns[0] if isinstance(turns, list) and turns else None
        keys = [str(key) for key in first] if isinstance(first, dict) else []
    if "role" in keys or "content" in keys:
        return ("openai",)
    return ("sharegpt",) if "from" in keys or "value" in keys else ("openai", "sharegpt")


def decide(rows: Iterable[tuple[int, Mapping[str, Any]]], name: str) -> Format:
    """The format that the first rows (line, row) of ``name`` are in.

    Raises:
        DataError: none is known, or there are several; the message says which were seen where.
    """
    seen = list(rows)
    found = [(line, candidates(row)) for line, row in seen]
    first: dict[str, int] = {}
    for line, names in found:
        if len(names) == 1:
            first.setdefault(names[0], line)
    whole = [one for one in first if not any(one in _LESS.get(other, ()) for other in first)]
    if len(whole) > 1:
        raise mixed(name, {one: first[one] for one in whole})
    if whole:
        return FORMATS[whole[0]]
    if any(names for _, names in found):
        return FORMATS["openai"]
    raise _unknown(name, seen)


def belongs(row: Mapping[str, Any], to: Format) -> bool:
    """Whether ``row`` is of the format, or a damaged row of it, rather than of another format."""
    names = candidates(row)
    return not names or to.name in names or bool(_LESS.get(to.name, set()).intersection(names))


def mixed(name: str, first: Mapping[str, int]) -> DataError:
    """The refusal of a source with several formats; ``first`` is where each was met."""
    met = "; ".join(
        f"{FORMATS[one].label} ({FORMATS[one].columns}) first at line {line}"
        for one, line in sorted(first.items(), key=lambda item: item[1])
    )
    return DataError(
        f"{name} mixes formats: {met}. Put each format into a file of its own, "
        "or convert them to one"
    )


def missing(row: Mapping[str, Any], of: Format) -> str | None:
    """The first column that a row of the format lacks, by name."""
    needed: dict[str, tuple[tuple[str, ...], ...]] = {
        "openai": (CONVERSATIONS,),
        "sharegpt": (CONVERSATIONS,),
        "alpaca": (("instruction",), ("output",)),
        "prompt-completion": (("prompt",), COMPLETIONS),
        "preference": (("chosen",), ("rejected",)),
        "prompt": (("prompt",),),
        "documents": (("id",), ("text",)),
    }
    for names in needed[of.name]:
        if not any(column in row for column in names):
            return names[0]
    return None


def _unknown(name: str, seen: list[tuple[int, Mapping[str, Any]]]) -> DataError:
    shapes = Counter(tuple(map(str, row)) for _, row in seen)
    columns, count = shapes.most_common(1)[0]
    line = next(line for line, row in seen if tuple(map(str, row)) == columns)
    listed = ", ".join(repr(column[:40]) for column in columns[:12]) or "no columns"
    known = "\n".join(f"  {one.label}: {one.columns}" for one in FORMATS.values())
    return DataError(
        f"{name}: the format is not known. {count} of the first {len(seen)} rows have {listed} "
        f"(line {line}).{_nearest(columns)} Known formats are\n{known}\n"
        "Rename the columns to one of these"
    )


_ALIKE = {
    "question": "prompt",
    "query": "prompt",
    "input": "prompt",
    "user": "prompt",
    "answer": "completion",
    "reply": "completion",
    "assistant": "completion",
    "target": "completion",
    "dialog": "messages",
    "dialogue": "messages",
    "chat": "messages",
    "accepted": "chosen",
    "preferred": "chosen",
}
_OF_COLUMN = {
    "messages": "openai",
    "conversations": "sharegpt",
    "instruction": "alpaca",
    "output": "alpaca",
    "prompt": "prompt-completion",
    "completion": "prompt-completion",
    "response": "prompt-completion",
    "chosen": "preference",
    "rejected": "preference",
}


def _nearest(columns: tuple[str, ...]) -> str:
    likely: dict[str, str] = {}
    for column in columns:
        close = difflib.get_close_matches(column.lower(), [*_OF_COLUMN, *_ALIKE], n=1, cutoff=0.7)
        if close:
            likely[column] = _ALIKE.get(close[0], close[0])
    if not likely:
        return ""
    [(best, _)] = Counter(_OF_COLUMN[right] for right in likely.values()).most_common(1)
    renames = ", ".join(
        f"{column!r} is {right!r}" for column, right in likely.items() if column != right
    )
    hint = f" (if {renames})" if renames else ""
    return f" The nearest is {FORMATS[best].label}{hint}."
