"""Renderers: messages to tokens and back, for one model. The interface alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import attrs

from customize._batch import Floats, Ints

# {"role": ..., "content": ..., "tool_calls"?, "reasoning_content"?}: JSON values only.
Message = Mapping[str, Any]
Tool = Mapping[str, Any]
Document = Mapping[str, Any]


@attrs.frozen(eq=False)
class Rendered:
    """tokens: int32 [T]. weights: float32 [T], 1 on the assistant's tokens, 0 elsewhere."""

    tokens: Ints
    weights: Floats


class Renderer(Protocol):
    """Messages to tokens and weights through the model's own template, and back.

    One may also have ``leaves_a_call(tokens: Ints) -> bool``: whether a completion was to call a
    tool, in a call that ``parse`` cannot read, by the template's own form of calls. Where it has
    not, a reply leaves a call where its content opens one in any form that is known.
    """

    @property
    def stop_tokens(self) -> tuple[int, ...]:
        """Tokens that end the assistant's turn."""

    @property
    def fingerprint(self) -> str:
        """sha256 of template and tokenizer."""

    def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool] | None = None,
        documents: Sequence[Document] | None = None,
    ) -> Rendered:
        """Tokens of the conversation; weights prove which of them are the assistant's.

        Raises:
            RenderingError: it cannot be proven, or nothing is the assistant's.
        """

    def prompt(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool] | None = None,
        documents: Sequence[Document] | None = None,
    ) -> Ints:
        """Tokens up to where the assistant begins to speak."""

    def extend(
        self,
        tokens: Ints,
        messages: Sequence[Message],
        tools: Sequence[Tool] | None = None,
        documents: Sequence[Document] | None = None,
    ) -> Ints:
        """``tokens`` with messages and the assistant's opening appended; nothing before changes.

        ``tools`` and ``documents`` are those that the prompt was made with.

        Raises:
            Unsupported: the template rewrites earlier turns.
        """

    def decode(self, tokens: Ints) -> str:
        """The text of tokens, control tokens left out."""

    def parse(self, tokens: Ints) -> Message:
        """The assistant's message that a completion holds."""
