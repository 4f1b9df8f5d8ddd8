"""Tools: typed functions, their schemas, and calls that are checked before they are made.

Knows neither replies as text nor how a template writes tools.
"""

from __future__ import annotations

import inspect
import re
import time
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import attrs

from customize._errors import BadCall, OptionError, Unsupported
from customize.interfaces.environment import ToolCall

Function = Callable[..., Any]  # a person's: what it takes and gives is read from its hints

_JSON: Mapping[Any, str] = {str: "string", int: "integer", float: "number", bool: "boolean"}


@attrs.frozen
class Tool:
    """A function that a model may call. schema: as chat templates and OpenAI's interface want."""

    name: str
    function: Function
    schema: Mapping[str, Any]

    @classmethod
    def of(cls, function: Function) -> Tool:
        """Raises OptionError when the function is async, has no docstring, or hints that JSON has
        not."""
        name = getattr(function, "__name__", type(function).__name__)
        if any(map(_is_async, (function, type(function).__call__))):
            raise OptionError(
                f"the tool {name} is async: write it as def, with asyncio.run(…) around what is to "
                "be awaited"
            )
        summary, told = _documented(name, function)
        hints = _hints(name, function)
        properties = {
            key: {**_schema_of(f"{name}({key})", hints[key]), **_described(told, key)}
            for key in hints
        }
        taken = inspect.signature(function).parameters
        required = [key for key in hints if taken[key].default is inspect.Parameter.empty]
        parameters = {"type": "object", "properties": properties, "required": required}
        described = {"name": name, "description": summary, "parameters": parameters}
        return cls(name, function, {"type": "function", "function": described})

    def check(self) -> None:
        """Ask a function that has ``obstacle`` why it cannot be called here.

        Raises:
            Unsupported: it cannot, with what to do.
        """
        reason = getattr(self.function, "obstacle", lambda: None)()
        if reason is not None:
            raise Unsupported(f"the tool {self.name} cannot be used: {reason}")

    def call(self, arguments: Any) -> str:
        """What it gives, as text; JSON where it is none.

        Raises:
            BadCall: the arguments are not what it takes, or it said so itself.
            Exception: whatever else it raises is no fault of the model's.
        """
        import json

        value = self.function(**self.checked(arguments))
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

    def checked(self, arguments: Any) -> Mapping[str, Any]:
        """The arguments, each of its type.

        Raises:
            BadCall: one is missing, unknown or of another type; nothing is mended.
        """
        parameters = self.schema["function"]["parameters"]
        if not isinstance(arguments, Mapping):
            raise BadCall(f"the arguments of {self.name} must be an object")
        known = parameters["properties"]
        for key, value in arguments.items():
            if key not in known:
                raise BadCall(f"{self.name} has no argument {key!r}: there are {', '.join(known)}")
            if not _fits(value, known[key]):
                wanted = known[key].get("type") or "one of " + ", ".join(known[key]["enum"])
                wanted += " or null" if known[key].get("nullable") else ""
                raise BadCall(f"{key} of {self.name} must be {wanted} (got {value!r})")
        missing = [key for key in parameters["required"] if key not in arguments]
        if missing:
            raise BadCall(f"{self.name} needs {', '.join(missing)}")
        return arguments


class ToolFailed(Exception):
    """A tool raised what is no fault of the model's. kind: what, and in which tool."""

    def __init__(self, name: str, error: Exception) -> None:
        super().__init__(str(error))
        self.kind = f"{type(error).__name__} in {name}"


class Toolbox:
    """The tools of one episode, and how often each was called."""

    def __init__(self, tools: Sequence[Tool]) -> None:
        self._tools = {tool.name: tool for tool in tools}
        self.calls: dict[str, tuple[int, float]] = {}
        self.faults: dict[str, int] = {}

    def answer(self, call: ToolCall) -> dict[str, str]:
        """The tool's message. What the model did wrong is said to it; what else fails is raised."""
        began = time.perf_counter()
        try:
            content = self._called(call)
        except BadCall as error:
            kind = f"bad_call/{call.name}" if call.name in self._tools else "unknown_tool"
            self.faults[kind] = self.faults.get(kind, 0) + 1
            content = f"error: {error}"
        except Exception as error:  # whatever a person's code raises
            raise ToolFailed(call.name, error) from error
        if call.name in self._tools:
            number, seconds = self.calls.get(call.name, (0, 0.0))
            self.calls[call.name] = (number + 1, seconds + time.perf_counter() - began)
        return {"role": "tool", "tool_call_id": call.id, "name": call.name, "content": content}

    def _called(self, call: ToolCall) -> str:
        if call.name not in self._tools:
            raise BadCall(f"there is no tool {call.name!r}: there are {', '.join(self._tools)}")
        return self._tools[call.name].call(call.arguments)


def _is_async(function: Function) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)


def _documented(name: str, function: Function) -> tuple[str, Mapping[str, str]]:
    """The docstring's first paragraph, and what it says of arguments, as ``query: what for``."""
    text = inspect.getdoc(function)
    if not text:
        raise OptionError(f"the tool {name} has no docstring: the model is to read what it does")
    summary, _, rest = text.partition("\n\n")
    found = re.findall(r"(?m)^\s*(\w+)(?: *\([^)]*\))?: +(.+)$", rest)
    return " ".join(summary.split()), dict(found)


def _hints(name: str, function: Function) -> Mapping[str, Any]:
    try:
        hints = typing.get_type_hints(function)
        parameters = inspect.signature(function).parameters
    except (NameError, TypeError, ValueError) as error:
        raise OptionError(f"the hints of the tool {name} cannot be read: {error}") from error
    for key, parameter in parameters.items():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise OptionError(f"the tool {name} takes named arguments only (got {parameter})")
        if key not in hints:
            raise OptionError(f"{name}({key}) has no type: write {key}: str, or what it is")
    return {key: hints[key] for key in parameters}


def _described(told: Mapping[str, str], key: str) -> Mapping[str, str]:
    return {"description": told[key]} if key in told else {}


def _schema_of(where: str, hint: Any) -> Mapping[str, Any]:
    """The JSON schema of a type."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint in _JSON:
        return {"type": _JSON[hint]}
    if origin is Literal and all(isinstance(a, str) for a in arguments):
        return {"enum": list(arguments)}
    if origin in (list, Sequence) and arguments:
        return {"type": "array", "items": _schema_of(where, arguments[0])}
    if hint in (dict, list) or origin in (dict, Mapping):
        return {"type": "array" if hint is list else "object"}
    if origin in (types.UnionType, typing.Union) and len(arguments) == 2 and None in _nones(hint):
        inner = next(a for a in arguments if a is not type(None))
        return {**_schema_of(where, inner), "nullable": True}
    raise OptionError(
        f"{where} is of a type that tools do not take: use str, int, float, bool, Literal of "
        f"texts, list or dict (got {hint})"
    )


def _nones(hint: Any) -> list[None]:
    return [None for argument in typing.get_args(hint) if argument is type(None)]


_PYTHON: Mapping[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "array": list,
    "object": dict,
}


def _fits(value: Any, schema: Mapping[str, Any]) -> bool:
    if value is None:
        return bool(schema.get("nullable"))
    if "enum" in schema:
        return value in schema["enum"]
    if isinstance(value, bool) and schema["type"] != "boolean":
        return False
    if not isinstance(value, _PYTHON[schema["type"]]):
        return False
    return "items" not in schema or _all_fit(value, schema["items"])


def _all_fit(values: Any, schema: Mapping[str, Any]) -> bool:
    return all(_fits(value, schema) for value in values)
