"""What a completion says: its text taken apart into content, reasoning and tool calls.

A model calls tools as its chat template writes calls, so one form is chosen for a template, by
what takes the template's own writing apart. Knows nothing of templates or tokens.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable
from typing import Any

import attrs

from customize.data.faults import RowFault
from customize.data.strict_json import decode_at

# Calls as messages hold them: a function with name and arguments, and an id where one is given.
Calls = list[dict[str, Any]]


def _read_json(text: str, start: int) -> tuple[Any, int]:
    """One value and its end; of a key that is there twice neither is taken for what was meant."""
    value, end, fault = decode_at(text, start)
    if fault is not None:
        raise fault
    return value, end


@attrs.frozen
class Form:
    """How a family writes calls: an opening, one call or a list of them, and a closing.

    opening: may hold the group ``name``; what follows are then the arguments alone.
    read: gives the value at a place and where it ends; raises ValueError or RowFault where there is
        none.
    tried: whether an answer that holds no call was to be one, where no opening tells.
    """

    opening: re.Pattern[str]
    closing: re.Pattern[str]
    read: Callable[[str, int], tuple[Any, int]] = _read_json
    tried: Callable[[str], bool] | None = None

    def opens(self, markup: str) -> bool:
        """Whether this token is of what opens a call."""
        return re.escape(markup) in self.opening.pattern

    def writes(self, markup: str) -> bool:
        """Whether calls are written with this token."""
        return self.opens(markup) or re.escape(markup) in self.closing.pattern

    def take(self, text: str) -> tuple[str, Calls]:
        """What is left of ``text`` without its calls, and the calls; a malformed one is left."""
        calls: Calls = []
        kept, last = "", 0
        for match in self.opening.finditer(text):
            found = self._at(text, match) if match.start() >= last else None
            if found is None:
                continue
            kept += text[last : match.start()].rstrip()
            calls += found[0]
            last = found[1]
        return (kept + text[last:]).strip(), calls

    def _at(self, text: str, opening: re.Match[str]) -> tuple[Calls, int] | None:
        try:
            value, end = self.read(text, opening.end())
        except (RowFault, ValueError, SyntaxError, RecursionError, MemoryError):
            return None
        closing = self.closing.match(text, end)
        if "name" in opening.groupdict():
            value = {"name": opening["name"], "arguments": value}
        calls = [_call(item) for item in (value if isinstance(value, list) else [value])]
        good = [call for call in calls if call is not None]
        return (good, closing.end()) if closing and good and len(good) == len(calls) else None


def _call(value: object) -> dict[str, Any] | None:
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        return None
    if value.keys() - {"name", "arguments", "parameters", "id", "type"}:
        return None
    arguments = value.get("arguments", value.get("parameters", {}))
    given = {"id": value["id"]} if isinstance(value.get("id"), str) else {}
    return {**given, "function": {"name": value["name"], "arguments": arguments}}


def _read_python(text: str, start: int) -> tuple[Any, int]:
    """``[look(at="maps"), look(at="books")]``: parsed and never run."""
    end = text.index("<|tool_call_end|>", start)
    source = text[start:end].strip()
    tree = ast.parse(source, mode="eval").body
    calls = tree.elts if isinstance(tree, ast.List) else [tree]
    return [_read_call(source, call) for call in calls], end


def _read_call(source: str, tree: ast.expr) -> dict[str, Any]:
    if not isinstance(tree, ast.Call) or not isinstance(tree.func, ast.Name) or tree.args:
        raise ValueError("no call with named arguments")
    arguments = {str(k.arg): _value(source, k.value) for k in tree.keywords}
    return {"name": tree.func.id, "arguments": arguments}


def _value(source: str, tree: ast.expr) -> Any:
    try:
        return ast.literal_eval(tree)
    except ValueError:  # lists and objects are JSON, whose true and null are no Python
        return json.loads(ast.get_source_segment(source, tree) or "")


def _is_tried_bare(content: str) -> bool:
    """Whether an answer without markup was to be a call; one that is other JSON was not."""
    text = content.strip()
    if text.startswith("<|python_tag|>"):
        return True
    if not text.startswith("{") or '"name"' not in text:
        return False
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return True
    return bool(value.keys() & {"arguments", "parameters"})


def _form(opening: str, closing: str, **how: Any) -> Form:
    return Form(re.compile(opening), re.compile(closing), **how)


# By who began them; others write the same.
FORMS = {
    "hermes": _form(r"<tool_call>\s*", r"\s*</tool_call>"),
    "granite": _form(r"<\|?tool_call\|?>\s*", r"\s*(<\|/tool_call\|>)?"),
    "mistral": _form(r"\[TOOL_CALLS\]\s*", r"\s*"),
    "mistral 11": _form(r"\[TOOL_CALLS\]\s*(?P<name>[\w.-]+)(\[CALL_ID\]\w+)?\[ARGS\]\s*", r"\s*"),
    "deepseek": _form(
        r"(<｜tool▁calls▁begin｜>)?\s*<｜tool▁call▁begin｜>function<｜tool▁sep｜>(?P<name>[\w.-]+)\n"
        r"```json\n",
        r"\s*```<｜tool▁call▁end｜>\s*(<｜tool▁calls▁end｜>)?",
    ),
    "lfm2": _form(r"<\|tool_call_start\|>", r"<\|tool_call_end\|>", read=_read_python),
    # Nothing marks these calls: only an answer that is one, whole, is taken for it.
    "llama": _form(
        r"(?s)\A\s*(<\|python_tag\|>)?\s*(?=\{.*\"(parameters|arguments)\")",
        r"\s*\Z",
        tried=_is_tried_bare,
    ),
}


def form_of(written: str, wanted: Calls) -> Form | None:
    """The form by which ``wanted`` calls are read from what a template wrote of them."""
    functions = [call["function"] for call in wanted]
    for form in FORMS.values():
        if [call["function"] for call in form.take(written)[1]] == functions:
            return form
    return None


def is_unread_call(content: str, form: Form | None = None) -> bool:
    """Whether what is left of a reply without its calls was to be one.

    content: with its control tokens, which open calls.
    form: how the template writes calls, where nothing else marks them.
    """
    if form is not None and form.tried is not None and form.tried(content):
        return True
    marked = (one for name, one in FORMS.items() if name != "llama")
    return any(one.opening.search(content) for one in marked)


def parse_reply(
    text: str, begins_thinking: bool, form: Form | None = FORMS["hermes"]
) -> dict[str, Any]:
    """The assistant's message. A malformed tool call stays in content as it is.

    begins_thinking: the prompt ended inside ``<think>``.
    form: how calls are written; without one a call stays in content.
    """
    reasoning, rest = _split_reasoning(text, begins_thinking)
    content, calls = form.take(rest) if form else (rest.strip(), [])
    message: dict[str, Any] = {"role": "assistant", "content": content}
    if reasoning.strip():
        message["reasoning_content"] = reasoning.strip()
    if calls:
        message["tool_calls"] = [
            # Mistral's templates accept ids of nine letters and digits only.
            {"id": f"call{number:05}", "type": "function", **call}
            for number, call in enumerate(calls)
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
