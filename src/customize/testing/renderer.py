"""A renderer for tests: one byte, one token, and a plain template. Knows no model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

import numpy as np

from customize._batch import Ints
from customize._errors import RenderingError
from customize.data.rendering.reply import parse_reply
from customize.interfaces.renderer import Document, Message, Rendered, Tool

END = 0
ROLES = {"system": 1, "user": 2, "assistant": 3, "tool": 4}
NUM_TOKENS = 256


class ToyRenderer:
    """A message is its role's control byte, its text in bytes, and the end byte.

    Control bytes in text become ``?``: data never opens or closes a turn. Tools and documents are
    a first turn of the system's; calls of tools are written in Hermes' form, and read back.
    """

    stop_tokens: tuple[int, ...] = (END,)
    fingerprint: str = hashlib.sha256(b"toy renderer 3").hexdigest()

    def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool] | None = None,
        documents: Sequence[Document] | None = None,
    ) -> Rendered:
        tokens = _beside(tools, documents)
        weights = [0.0] * len(tokens)
        for message in messages:
            turn = _turn(message)
            tokens += turn
            trained = float(message["role"] == "assistant" and message.get("train") is not False)
            weights += [0.0] + [trained] * (len(turn) - 1)
        if not any(weights):
            raise RenderingError("no message is the assistant's: there is nothing to learn")
        return Rendered(np.asarray(tokens, np.int32), np.asarray(weights, np.float32))

    def prompt(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool] | None = None,
        documents: Sequence[Document] | None = None,
    ) -> Ints:
        tokens = _beside(tools, documents)
        tokens += [token for message in messages for token in _turn(message)]
        return np.asarray([*tokens, ROLES["assistant"]], np.int32)

    def extend(
        self,
        tokens: Ints,
        messages: Sequence[Message],
        tools: Sequence[Tool] | None = None,
        documents: Sequence[Document] | None = None,
    ) -> Ints:
        return np.concatenate([tokens, self.prompt(messages)])

    def decode(self, tokens: Ints) -> str:
        text = bytes(int(t) for t in tokens if t > max(ROLES.values()))
        return text.decode("utf-8", errors="replace")

    def parse(self, tokens: Ints) -> Message:
        return parse_reply(self.decode(tokens), begins_thinking=False)


def _beside(tools: Sequence[Tool] | None, documents: Sequence[Document] | None) -> list[int]:
    if not tools and not documents:
        return []
    return _turn({"role": "system", "content": json.dumps([tools, documents])})


def _turn(message: Message) -> list[int]:
    role = message["role"]
    if role not in ROLES:
        raise RenderingError(f"no role {role!r}: roles are {', '.join(ROLES)}")
    text = str(message.get("content") or "")
    for call in message.get("tool_calls", ()):
        text += f"<tool_call>{json.dumps(call.get('function', call))}</tool_call>"
    encoded = text.encode("utf-8", errors="replace")
    plain = [b if b > max(ROLES.values()) else ord("?") for b in encoded]
    return [ROLES[role], *plain, END]
