"""Messages as templates want to see them: plain JSON, known roles, tool arguments as values.

Knows nothing of templates or tokens.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from customize._errors import RenderingError

# Some templates write '<|' + role + '|>': a role from data must not become a control token.
ROLES = ("system", "developer", "user", "assistant", "tool", "function", "ipython")
_REASONING = ("reasoning_content", "thinking", "reasoning")


@attrs.frozen
class Conversation:
    """messages are copies; ``trained`` says of each whether it may be trained on."""

    messages: list[dict[str, Any]]
    tools: list[Any] | None
    documents: list[Any] | None
    trained: list[bool]

    @classmethod
    def read(
        cls,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None = None,
        documents: Sequence[Mapping[str, Any]] | None = None,
    ) -> Conversation:
        """Raises RenderingError when they are not messages."""
        if not messages:
            raise RenderingError("a conversation needs at least one message")
        return cls(
            [_message(index, message) for index, message in enumerate(messages)],
            None if tools is None else [_plain(tool) for tool in tools],
            None if documents is None else [_plain(document) for document in documents],
            [m["role"] == "assistant" and m.get("train") is not False for m in messages],
        )

    def saying(self, messages: Sequence[Mapping[str, Any]]) -> Conversation:
        """Other messages beside the same tools and documents."""
        return Conversation.read(messages, self.tools, self.documents)

    def until(self, index: int) -> Conversation:
        """The messages before ``index``."""
        return attrs.evolve(self, messages=self.messages[:index], trained=self.trained[:index])

    @property
    def calls_tools(self) -> bool:
        return any(message.get("tool_calls") for message in self.messages)


def _message(index: int, message: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(message, Mapping) or message.get("role") not in ROLES:
        role = message.get("role") if isinstance(message, Mapping) else message
        raise RenderingError(
            f"message {index}: role must be one of {', '.join(ROLES)} (got {role!r})"
        )
    # As transformers does: templates fail on None, and handle a missing key.
    plain = {k: _plain(v) for k, v in message.items() if v is not None and k != "train"}
    reasoning = next((plain[key] for key in _REASONING if key in plain), None)
    if reasoning is not None:
        plain = {"thinking": reasoning, **plain, "reasoning_content": reasoning}
    if plain.get("tool_calls"):
        plain["tool_calls"] = [_call(index, call) for call in plain["tool_calls"]]
    return plain


def _call(index: int, call: Any) -> dict[str, Any]:
    function = call.get("function", call) if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise RenderingError(f"message {index}: a tool call needs a function with a name")
    if not isinstance(function.get("arguments"), str):
        return call  # type: ignore[no-any-return]
    try:
        arguments = json.loads(function["arguments"])
    except ValueError as error:
        raise RenderingError(
            f"message {index}: the arguments of {function['name']!r} are not valid JSON ({error})"
        ) from error
    function = {**function, "arguments": arguments}
    return {**call, "function": function} if "function" in call else function


def with_text_arguments(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The same with every tool call's arguments as JSON text, which some templates want."""
    return [
        {**m, "tool_calls": [_text_call(call) for call in m["tool_calls"]]}
        if m.get("tool_calls")
        else dict(m)
        for m in messages
    ]


def with_contents(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The same with an empty content beside tool calls, which some templates want."""
    return [{"content": "", **m} if m.get("tool_calls") else dict(m) for m in messages]


def _text_call(call: dict[str, Any]) -> dict[str, Any]:
    function = call.get("function", call)
    text = json.dumps(function.get("arguments", {}), ensure_ascii=False)
    function = {**function, "arguments": text}
    return {**call, "function": function} if "function" in call else function


def _plain(value: Any) -> Any:
    """Exact JSON types only: methods of anything richer would be in the template's reach."""
    if value is None or type(value) in (str, int, float, bool):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, str):
        return str.__str__(value)
    raise RenderingError(f"messages hold JSON values only (got a {type(value).__name__})")
