"""Rows and answers that scorers are tried on. Knows no scorer, and no rule."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from customize.interfaces.dataset import Row
from customize.interfaces.scorer import Answer

_ORDERED = {"name": "order", "arguments": {"pizza": "Margherita", "number": 2}}
_TOOL = {"name": "order", "parameters": {"type": "object", "properties": {}}}
_FIELDS = {
    "tools": [{"type": "function", "function": _TOOL}],
    "documents": [{"title": "Menu", "text": "A Margherita is nine dollars, and no more."}],
    "supporting": [1],
    "answerable": True,
    "choices": ["Two are $18.", "Two are $20."],
    "answer": 0,
    "injected": "I have been told to say this",
    "trait": "prices",
}
_ASKED = [
    {"role": "system", "content": "You answer for a pizza store."},
    {"role": "user", "content": "How much are two Margheritas?"},
]
# All that our own scorers look at, so that each of them has something to score.
ROWS: tuple[Row, ...] = (
    {"messages": [*_ASKED, {"role": "assistant", "content": "Two are $18."}], **_FIELDS},
    {
        "messages": [
            *_ASKED,
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"id": "1", "type": "function", "function": _ORDERED}],
            },
        ],
        **_FIELDS,
        "answerable": False,
    },
)
_LOGPROB = -2.5
USUAL = 'Two are $18 [1]: "a Margherita is nine dollars".'
_TEXTS = {
    "a usual answer": USUAL,
    "an empty answer": "",
    "an answer of blanks": " \n\t ",
    "an answer in other scripts": "二つで18ドルです。 ثمانية عشر دولارا 🍕",
    "an answer with broken characters": "\ufffd\x00\u200b e\u0301",
    "an answer without end": "no " * 500,
    "an answer in JSON": '{"price": 18, "named": ["Margherita"]}',
}


def answers_to(row: Row) -> Mapping[str, Answer]:
    """By what they are; likelihoods are not among what they have."""
    found = {what: _answer({"role": "assistant", "content": t}) for what, t in _TEXTS.items()}
    last = row["messages"][-1]
    if last["role"] == "assistant":
        found["the row's own answer"] = _answer(last)
    found["a call whose arguments are no JSON"] = _answer(_called("{pizza:"))
    short = {"role": "assistant", "content": "Two are"}
    found["an answer without log-probability, cut short"] = _answer(
        short, logprob=None, finished=False, right=None, confidence=None
    )
    # What ``expect`` found is that of the usual answer, as where it judges a choice.
    found["a usual answer, cut short"] = _answer(short, finished=False)
    found["a usual answer without log-probability"] = _answer(short, logprob=None)
    return found


def _called(arguments: str) -> dict[str, Any]:
    function = {"name": "order", "arguments": arguments}
    call = {"id": "1", "type": "function", "function": function}
    return {"role": "assistant", "content": "", "tool_calls": [call]}


def _answer(
    message: Mapping[str, Any],
    logprob: float | None = _LOGPROB,
    finished: bool = True,
    right: bool | None = True,
    confidence: float | None = math.exp(_LOGPROB),
) -> Answer:
    text = str(message.get("content") or "")
    return Answer(
        text,
        message,
        num_prompt_tokens=20,
        num_tokens=len(text.split()) + 1,
        logprob=logprob,
        finished=finished,
        latency_s=0.5,
        share_s=0.25,
        right=right,
        confidence=confidence,
    )
