"""Whether a conversation can go on in its own tokens. Asks a renderer, and plays nothing."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from customize._batch import Ints
from customize._errors import RenderingError, Unsupported
from customize.interfaces.renderer import Document, Message, Renderer, Tool

_QUESTION = {"role": "user", "content": "Where is it?"}
_THOUGHT = {"role": "assistant", "content": "There.", "reasoning_content": "They ask for a place."}
_TOLD = {"role": "tool", "tool_call_id": "call00000", "name": "look", "content": "It is there."}
_HINT = "rewrites=restart does so, in a new sequence of the same episode"


def extended(
    renderer: Renderer,
    tokens: Ints,
    messages: Sequence[Message],
    tools: Sequence[Tool],
    documents: Sequence[Document],
) -> Ints:
    """``tokens`` with messages appended and nothing before them changed.

    Raises:
        Unsupported: the template rewrites what was said.
        RenderingError: the renderer changed what was there, which is its own fault.
    """
    try:
        grown = renderer.extend(tokens, messages, tools or None, documents or None)
    except Unsupported as error:
        raise Unsupported(f"{error}; {_HINT}") from error
    if not np.array_equal(grown[: len(tokens)], tokens):
        raise RenderingError("the renderer's extend changed what was there: it may only append")
    return grown


def prove(renderer: Renderer, tools: Sequence[Tool], documents: Sequence[Document]) -> None:
    """Prove, before the first token, that what follows an answer is only ever appended.

    With tools a tool's result is what follows, else a user's message. Where a template rewrites
    answers with thoughts alone, that is a warning: a model may never think.

    Raises:
        Unsupported: it is not so, with the reason.
    """
    follow = [_TOLD] if tools else [_QUESTION]
    beside = tools or None, documents or None
    extended(renderer, renderer.prompt([_QUESTION], *beside), follow, tools, documents)
    try:
        thought = renderer.render([_QUESTION, _THOUGHT], *beside).tokens
    except RenderingError:
        return  # what cannot be rendered is not what a model is trained to say
    try:
        extended(renderer, thought, follow, tools, documents)
    except Unsupported as error:
        told = f"an episode that goes on after a thought will stop the run: {error}"
        warnings.warn(told, stacklevel=2)
