"""What a row says, as text: for comparing and measuring rows. Knows no tokens."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from customize._scripts import UNSPACED
from customize.data.messages import Message

Row = Mapping[str, Any]  # JSON values

# Where a script has no spaces, each character counts as a word.
_WORD = re.compile(rf"[{UNSPACED}]|[^\W{UNSPACED}]+")


def words(text: str) -> list[str]:
    """Words in lower case and one Unicode form, without punctuation."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def num_words(text: str) -> int:
    """Number of words of ``text``, as `words` counts them."""
    return sum(1 for _ in _WORD.finditer(text))


def conversation(row: Row) -> list[Message]:
    """All messages of a row; of a preference row the prompt's, then both answers'; a document's
    text as one.
    """
    if "messages" not in row:
        return [{"role": "user", "content": row["text"]}]
    return [*row["messages"], *row.get("chosen", ()), *row.get("rejected", ())]


def spoken(row: Row) -> str:
    """What users, assistants and tools say: without system messages, which rows often share."""
    turns = (turn for turn in conversation(row) if turn["role"] not in ("system", "developer"))
    return "\n".join(written(turn) for turn in turns)


def everything(row: Row) -> str:
    """All that a row says, system messages, tools and documents too; equal only for equal rows."""
    turns = [(turn["role"], written(turn)) for turn in conversation(row)]
    beside = [row.get("tools"), row.get("documents")]
    return json.dumps([turns, len(row.get("messages", ())), beside], ensure_ascii=False)


def answers(row: Row) -> list[str]:
    """The contents of the assistant's messages, tool calls left out."""
    turns = (turn for turn in conversation(row) if turn["role"] == "assistant")
    return [turn["content"] for turn in turns if turn["content"]]


def written(turn: Mapping[str, Any]) -> str:
    """What a message says, with its calls of tools."""
    if not turn.get("tool_calls"):
        return str(turn["content"])
    calls = [call["function"] for call in turn["tool_calls"]]
    return f"{turn['content']}\n{json.dumps(calls, ensure_ascii=False, sort_keys=True)}"
