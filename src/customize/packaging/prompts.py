"""Prompts on which exports go wrong: the same for every package. Know no model."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from customize._errors import RenderingError
from customize.interfaces.exporter import Exportable, Exporter
from customize.interfaces.renderer import Message, Renderer, Tool

_LONG = (
    "The ferry leaves the old harbour at seven, calls at both islands, and is back before noon; "
    "on Sundays it waits for the train from the north. "
)
_LONG_TOKENS = 1200
_MISTRALS = 4096  # tokens of its window, where the configuration says nothing
_BEYOND = 256  # tokens after a window, where the model has one
_TOOL = {
    "type": "function",
    "function": {
        "name": "open_hours",
        "description": "When a shop is open.",
        "parameters": {
            "type": "object",
            "properties": {"day": {"type": "string", "enum": ["Mon", "Tue"]}},
            "required": ["day"],
        },
    },
}
_CALL = {
    "id": "call12345",
    "type": "function",
    "function": {"name": "open_hours", "arguments": {"day": "Mon"}},
}
_USER = {"role": "user", "content": "Are you open on Monday?"}


@attrs.frozen
class Question:
    """A prompt with what it is called. is_kept: it may go into the package.

    is_plain: other programs' own prompts are expected to be the same. They differ where text is
    spelled as a control token is: we encode it as plain text, most others as the token. And where
    a letter is written in pieces: some tokenizers put them together first, llama.cpp never does.
    And of a developer's messages, which llama.cpp makes a system's.
    """

    name: str
    messages: Sequence[Message]
    tools: Sequence[Tool] | None = None
    is_kept: bool = True
    is_plain: bool = True


def hard_questions(source: Exportable, room: int | None = None) -> list[Question]:
    """Those that the model's template can write; the longest fits half of the ``room``, or is
    longer than the model's attention's window, where that fits.

    room: tokens of prompt and answer together that a package takes; the model's context unless
    given.
    """
    model, renderer = source.model.path, source.renderer
    longest = _longest(model, context_of(model) if room is None else room)
    every = [*_fixed(), *_with_control(renderer), _long(renderer, longest)]
    return [question for question in every if renders(renderer, question)]


def room_of(source: Exportable, exporter: Exporter) -> int | None:
    """Tokens of prompt and answer together that its package takes, where that is known."""
    known = (context_of(source.model.path), exporter.most_context)
    return min((tokens for tokens in known if tokens is not None), default=None)


def _longest(model: Path, room: int | None) -> int:
    """Tokens of the longest question. What is wrong of a window shows only beyond it."""
    room = 2 * _LONG_TOKENS if room is None else room
    usual, window = min(_LONG_TOKENS, room // 2), _window_of(model) or 0
    return window + _BEYOND if usual <= window + _BEYOND <= room - _BEYOND else usual


def context_of(model: Path) -> int | None:
    """Tokens that the model can read, where its configuration says so."""
    return _number_in(model, "max_position_embeddings")


def _window_of(model: Path) -> int | None:
    """Tokens that a layer sees at most, where its configuration says so and does not say not to."""
    config = json.loads((model / "config.json").read_text("utf-8"))
    if config.get("model_type") == "mistral" and "sliding_window" not in config:
        return _MISTRALS
    return _number_in(model, "sliding_window") if config.get("use_sliding_window", True) else None


def _number_in(model: Path, key: str) -> int | None:
    config = json.loads((model / "config.json").read_text("utf-8"))
    inner = config.get("text_config")
    for part in (config, inner if isinstance(inner, dict) else {}):
        if isinstance(part.get(key), int):
            return int(part[key])
    return None


def renders(renderer: Renderer, question: Question) -> bool:
    """Whether the template can write it; many refuse a role, or drop tools."""
    try:
        renderer.prompt(question.messages, question.tools)
    except RenderingError:
        return False
    return True


def _fixed() -> Iterator[Question]:
    texts = {
        "unicode": "Café — naïve “quotes”, 12.50 €? 日本語 العربية हिन्दी 🍕👩‍👩‍👧",
        "digits": "1, 2,\n\n 3  2024-05-17 3.14159 1000000 0x1F 12:30 +49 30 901820",
        "code": "def f(x):\n\treturn {'a': [x ** 2]}  # <b>ok</b>\n```sh\nls -la | wc\n```",
        "spaces": "  two  spaces,\ttab\n\n\nlines and an end ",
    }
    for name, text in texts.items():
        yield Question(name, [{"role": "user", "content": text}])
    pieces = [{"role": "user", "content": "Is the cafe\u0301 u\u0308ber den Da\u0308chern open?"}]
    yield Question("letters in pieces", pieces, is_plain=False)
    system = {"role": "system", "content": "You are terse."}
    answer = {"role": "assistant", "content": "Yes, from nine to five."}
    yield Question("system", [system, _USER])
    yield Question("developer", [{**system, "role": "developer"}, _USER], is_plain=False)
    yield Question("turns", [_USER, answer, {"role": "user", "content": "And on Tuesday?"}])
    yield Question("tools", [_USER], [_TOOL])
    called = {"role": "assistant", "content": "", "tool_calls": [_CALL]}
    result = {"role": "tool", "tool_call_id": "call12345", "content": '{"from": 9, "to": 17}'}
    yield Question("tool result", [_USER, called, result], [_TOOL])


def _with_control(renderer: Renderer) -> Iterator[Question]:
    """The model's own stop tokens, and others' usual ones, written by a user."""
    texts = getattr(renderer, "text_of", None)
    own = [] if texts is None else [texts(np.array([t], np.int32)) for t in renderer.stop_tokens]
    text = f"What does {' '.join(own)} <|im_end|> </s> <|eot_id|> mean?"
    yield Question("control tokens", [{"role": "user", "content": text}], is_plain=False)


def _long(renderer: Renderer, num_tokens: int) -> Question:
    def asked(times: int) -> Sequence[Mapping[str, Any]]:
        return [{"role": "user", "content": f"{_LONG * times}When does the ferry leave?"}]

    one, two = (len(renderer.prompt(asked(times))) for times in (1, 2))
    return Question("long", asked(max(1, (num_tokens - one) // max(two - one, 1))))
