"""Who is asked: a run, a model, or one behind an endpoint. Knows no question."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import customize
from customize import Message

# What a model says to messages.
Ask = Callable[[Sequence[Message]], str]

_MAX_TOKENS = 96


def asking(model: str) -> Ask:
    """``model``: a run, a model, or ``https://HOST/v1#MODEL``."""
    if "://" not in model:
        run = customize.open(model)
        return lambda messages: run.reply(messages, max_tokens=_MAX_TOKENS)
    endpoint = customize.Endpoint.parse(model)
    return lambda messages: _answer_of(endpoint, messages)


def _answer_of(endpoint: customize.Endpoint, messages: Sequence[Message]) -> str:
    body = {"messages": list(messages), "max_tokens": _MAX_TOKENS, "temperature": 0.0}
    reply = endpoint.chat(body)
    try:
        return str(reply["choices"][0]["message"]["content"] or "")
    except (KeyError, IndexError, TypeError) as error:
        told = json.dumps(reply)[:300]
        raise customize.BackendError(f"{endpoint.url} gave no chat completion: {told}") from error
