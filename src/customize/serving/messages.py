"""Messages and tools as a request holds them: checked, and no field ignored."""

from __future__ import annotations

from typing import Any

from customize.data.faults import RowFault
from customize.data.messages import openai_messages
from customize.data.strict_json import type_name
from customize.interfaces.renderer import Tool
from customize.serving.fields import Fields, fields_of
from customize.serving.refusal import Refusal

_MOST_TOOLS = 128
_KEPT = ("role", "content", "name", "tool_calls", "tool_call_id", "reasoning_content")
# Null or empty in what clients send back of an answer.
_EMPTY = {"annotations": ("[]",), "audio": (), "function_call": (), "refusal": ()}


def read_messages(fields: Fields) -> list[dict[str, Any]]:
    """Messages as templates want them; text parts are joined, and nothing but text is taken.

    Raises:
        Refusal: one is malformed, or has a field that is not known.
    """
    value = fields.take("messages")
    if not isinstance(value, list):
        fields.refuse("messages", "is missing" if value is None else "must be a list of messages")
    for number, message in enumerate(value):
        _check_parts(message, f"messages[{number}].content")
    try:
        messages = openai_messages(value, "messages")
    except RowFault as fault:
        raise Refusal(400, f"{fault.reason}: {fault.detail}", param="messages") from None
    return [_kept(message, f"messages[{number}]") for number, message in enumerate(messages)]


def _check_parts(message: object, place: str) -> None:
    """No field of a part of text is ignored; whatever else a part is, is refused afterwards."""
    content = message.get("content") if isinstance(message, dict) else None
    for number, part in enumerate(content if isinstance(content, list) else []):
        if isinstance(part, dict) and part.get("type") == "text":
            fields = Fields(part, f"{place}[{number}]")
            for name in ("type", "text"):
                fields.take(name)
            fields.finish({})


def _kept(message: dict[str, Any], place: str) -> dict[str, Any]:
    fields = Fields(message, place)
    kept = {name: fields.take(name) for name in _KEPT}
    fields.finish(_EMPTY)
    return {name: value for name, value in kept.items() if value is not None}


def read_tools(fields: Fields) -> list[Tool] | None:
    """The tools the model may call; None where there are none, or it may not.

    Raises:
        Refusal: one is malformed, or a call is to be forced.
    """
    value, choice = fields.take("tools"), fields.take("tool_choice")
    if value is not None and not isinstance(value, list):
        fields.refuse("tools", f"must be a list, not {type_name(value)}")
    tools = [_tool(tool, f"tools[{number}]") for number, tool in enumerate(value or [])]
    if len(tools) > _MOST_TOOLS:
        fields.refuse("tools", f"may hold {_MOST_TOOLS} at most")
    if choice is not None and not tools:
        fields.refuse("tool_choice", "needs tools")
    if choice not in (None, "auto", "none"):
        fields.refuse("tool_choice", "may be 'auto' or 'none': a call cannot be forced here")
    return tools if tools and choice != "none" else None


def _tool(value: object, place: str) -> Tool:
    tool = fields_of(value, place)
    if tool.take("type") != "function":
        tool.refuse("type", "must be 'function'")
    function = tool.inside("function")
    if function is None:
        tool.refuse("function", "is missing")
    tool.finish({})
    name, description = function.text("name"), function.text("description")
    if not name:
        function.refuse("name", "is missing")
    parameters = function.take("parameters")
    if not isinstance(parameters, dict | None):
        function.refuse("parameters", f"must be an object, not {type_name(parameters)}")
    function.finish({"strict": ("false",)})
    made = {"name": name, "description": description, "parameters": parameters}
    return {"type": "function", "function": {k: v for k, v in made.items() if v is not None}}
