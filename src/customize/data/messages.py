"""Messages in one form: roles checked, text parts joined, tool calls with arguments as objects.

The form is that of chat templates: OpenAI's, but arguments are objects and not JSON strings.
Knows nothing of whole rows.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from customize._errors import DataError
from customize.data.faults import RowFault
from customize.data.strict_json import decode, fault_in_strings, type_name

Message = dict[str, Any]  # JSON values

ROLES = ("system", "developer", "user", "assistant", "tool")
_SHAREGPT = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "model": "assistant",
    "chatgpt": "assistant",
    "function_call": "assistant",
    "tool": "tool",
    "observation": "tool",
    "function_response": "tool",
}


def openai_messages(value: object, where: str) -> list[Message]:
    """Messages of ``role`` and ``content``; ``where`` is what faults call the list.

    Raises:
        RowFault: a message is malformed, of an unknown role, or an answer without content.
    """
    return _each(value, where, _answered)


def asked_messages(messages: str | Sequence[Mapping[str, Any]]) -> list[Message]:
    """A text, or messages in the same form, to be answered next; earlier answers may be empty.

    Raises:
        DataError: a message is malformed, or of an unknown role.
    """
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    try:
        asked = _each(list(messages), "messages", _message)
        if fault := fault_in_strings(asked, "messages"):
            raise fault
    except RowFault as fault:
        raise DataError(
            f"this cannot be answered: {fault.reason}: {fault.detail}; a message reads "
            '{"role": "user", "content": "What is open today?"}'
        ) from None
    return asked


def sharegpt_messages(value: object, where: str) -> list[Message]:
    """The same from ShareGPT's ``from`` and ``value``."""
    return _each(value, where, lambda turn, at: _answered(_from_sharegpt(turn, at), at))


def said_by(role: str, text: object, where: str) -> Message:
    """One message of plain text.

    Raises:
        RowFault: ``text`` is no string, or an answer without content.
    """
    return _answered({"role": role, "content": text}, where)


def from_json_string(value: object, where: str) -> Any:  # any JSON value
    """``value``, decoded first where it is a string, as tables keep nested columns.

    Raises:
        RowFault: the string is not JSON.
    """
    if not isinstance(value, str):
        return value
    try:
        return decode(value)
    except RowFault as fault:
        raise RowFault(fault.reason, f"inside the string {where}: {fault.detail}") from None


def _each(value: object, where: str, convert: Callable[[Any, str], Message]) -> list[Message]:
    turns = from_json_string(value, where)
    if not isinstance(turns, list):
        raise RowFault("wrong type", f"{where} must be a list of messages, not {type_name(turns)}")
    if not turns:
        raise RowFault("no messages", f"{where} is empty")
    return [convert(turn, f"{where}[{i}]") for i, turn in enumerate(turns)]


def _answered(turn: object, where: str) -> Message:
    """One message, which is no empty answer."""
    message = _message(turn, where)
    says = message["content"].strip() or "tool_calls" in message
    if message["role"] == "assistant" and not says:
        raise RowFault("empty answer", where)
    return message


def _message(turn: object, where: str) -> Message:
    if not isinstance(turn, Mapping):
        raise RowFault("wrong type", f"{where} must be an object, not {type_name(turn)}")
    message = {**turn, "role": _role(turn, "role", dict.fromkeys(ROLES), where)}
    if message["role"] == "assistant" and turn.get("tool_calls"):
        message["tool_calls"] = _tool_calls(turn["tool_calls"], f"{where}.tool_calls")
    else:
        message.pop("tool_calls", None)
    message["content"] = _content(message, where)
    if not isinstance(message.get("reasoning_content") or "", str):
        raise RowFault("wrong type", f"{where}.reasoning_content must be a string")
    return message


def _role(turn: Mapping[str, Any], key: str, known: Mapping[str, Any], where: str) -> str:
    if turn.get(key) is None:
        raise RowFault("missing role", f"{where} has no {key!r}")
    role = turn[key]
    if not isinstance(role, str):
        raise RowFault("wrong type", f"{where}.{key} must be a string, not {type_name(role)}")
    if role not in known:
        nearest = difflib.get_close_matches(role.lower(), known, n=1)
        hint = f"did you mean {nearest[0]!r}?" if nearest else f"known: {', '.join(known)}"
        raise RowFault("unknown role", f"{where}.{key} is {role[:40]!r}; {hint}")
    return role


def _content(message: Message, where: str) -> str:
    content = message.get("content")
    if isinstance(content, list):
        content = "".join(_text(part, f"{where}.content[{i}]") for i, part in enumerate(content))
    if content is None and message["role"] == "assistant":
        content = ""
    if content is None:
        raise RowFault("missing content", f"{where} has no 'content'")
    if not isinstance(content, str):
        raise RowFault("wrong type", f"{where}.content must be a string, not {type_name(content)}")
    return content


def _text(part: object, where: str) -> str:
    if not isinstance(part, Mapping):
        raise RowFault("wrong type", f"{where} must be an object, not {type_name(part)}")
    text = part.get("text")
    if part.get("type", "text") != "text" or not isinstance(text, str):
        raise RowFault("not text", f"{where} is of type {part.get('type')!r}; only text is read")
    return text


def _tool_calls(value: object, where: str) -> list[Message]:
    calls = from_json_string(value, where)
    if not isinstance(calls, list):
        raise RowFault("wrong type", f"{where} must be a list, not {type_name(calls)}")
    return [_tool_call(call, f"{where}[{i}]") for i, call in enumerate(calls)]


def _tool_call(call: object, where: str) -> Message:
    function = call.get("function", call) if isinstance(call, Mapping) else None
    if not isinstance(call, Mapping) or not isinstance(function, Mapping):
        raise RowFault("bad tool call", f"{where} must be an object with 'function'")
    if not isinstance(function.get("name"), str) or not function["name"]:
        raise RowFault("bad tool call", f"{where} has no name")
    arguments = from_json_string(function.get("arguments") or {}, f"{where}.arguments")
    if not isinstance(arguments, Mapping):
        raise RowFault(
            "bad tool call",
            f"{where}.arguments must be an object, not {type_name(arguments)}",
        )
    inside = {"name": function["name"], "arguments": dict(arguments)}
    if "function" in call:
        return {**call, "type": "function", "function": {**function, **inside}}
    beside = {key: call[key] for key in call if key not in inside}
    return {**beside, "type": "function", "function": inside}


def _from_sharegpt(turn: object, where: str) -> object:
    if not isinstance(turn, Mapping):
        return turn
    origin = _role(turn, "from", _SHAREGPT, where)
    rest = {key: turn[key] for key in turn if key not in ("from", "value")}
    if origin != "function_call":
        return {**rest, "role": _SHAREGPT[origin], "content": turn.get("value")}
    calls = from_json_string(turn.get("value"), f"{where}.value")
    listed = calls if isinstance(calls, list) else [calls]
    return {**rest, "role": "assistant", "content": "", "tool_calls": listed}
