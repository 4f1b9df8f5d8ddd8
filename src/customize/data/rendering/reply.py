"""What a completion says: its text taken apart into content, reasoning and tool calls.

The forms of Hermes and Qwen. Knows nothing of tokens.
"""

from __future__ import annotations

import json
import re
from typing import Any

_CALL = re.compile(r"<tool_call>\s*(\{.*?\})\s*</tool_call>", re.DOTALL)


def parse_reply(text: str, begins_thinking: bool) -> dict[str, Any]:
    """The assistant's message. A malformed tool call stays in content as it is.

    begins_thinking: the prompt ended inside ``<think>``.
    """
    message: dict[str, Any] = {"role": "assistant"}
    reasoning, rest = _split_reasoning(text, begins_thinking)
    calls = [(match.span(), _call(match.group(1))) for match in _CALL.finditer(rest)]
    good = [(span, call) for span, call in calls if call is not None]
    for (start, end), _ in reversed(good):
        rest = rest[:start].rstrip() + rest[end:]
    message["content"] = rest.strip()
    if reasoning.strip():
        message["reasoning_content"] = reasoning.strip()
    if good:
        message["tool_calls"] = [
            {"id": f"call_{i}", "type": "function", "function": call}
            for i, (_, call) in enumerate(good)
        ]
    return message


def _split_reasoning(text: str, begins_thinking: bool) -> tuple[str, str]:
    opening, found, after = text.partition("<think>")
    if found and not opening.strip():
        text, begins_thinking = after, True
    if not begins_thinking:
        return "", text
    reasoning, _, rest = text.partition("</think>")
    return reasoning, rest


def _call(text: str) -> dict[str, Any] | None:
    try:
        call = json.loads(text)
    except ValueError:
        return None
    if not isinstance(call, dict) or not isinstance(call.get("name"), str):
        return None
    arguments = call.get("arguments", call.get("parameters", {}))
    return {"name": call["name"], "arguments": arguments}
