"""Whether an answer calls the right tools with the right arguments. Calls none of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from customize._errors import OptionError
from customize._options import option, options
from customize.evaluation.scorers.texts import reference
from customize.interfaces.dataset import Row
from customize.interfaces.scorer import Answer, Score, Scorer

Call = tuple[str, str]  # name, and arguments as canonical JSON


@options
class ToolCalls(Scorer):
    """names: these tools and no others. arguments: with these arguments too. order: in this order.

    Arguments are equal as JSON: 1 and 1.0 are, 1 and true are not.
    """

    calls: tuple[Mapping[str, Any], ...] | None = option(
        default=None,
        help="Each a name and arguments; the row's own calls unless given, [] for none at all.",
    )
    ordered: bool = option(default=True, help="Whether the order counts.")

    def __attrs_post_init__(self) -> None:
        for call in self.calls or ():
            if not isinstance(call.get("name"), str):
                raise OptionError(f"a call needs a name, and may have arguments (got {call!r})")

    def score(self, answer: Answer, row: Row) -> Score:
        wanted = _wanted(self.calls, row)
        if wanted is None:
            return None
        made = _calls([call["function"] for call in answer.message.get("tool_calls") or ()])
        parts = {
            "names": float(_names(made) == _names(wanted)),
            "arguments": float(sorted(made) == sorted(wanted)),
        }
        return {**parts, "order": float(made == wanted)} if self.ordered else parts


def _wanted(calls: Sequence[Mapping[str, Any]] | None, row: Row) -> list[Call] | None:
    if calls is not None:
        return _calls(calls)
    own = reference(row)
    return _calls([call["function"] for call in own.get("tool_calls") or ()]) if own else None


def _calls(functions: Sequence[Mapping[str, Any]]) -> list[Call]:
    return [(f["name"], canonical(f.get("arguments") or {})) for f in functions]


def _names(calls: Sequence[Call]) -> list[str]:
    return sorted(name for name, _ in calls)


def canonical(arguments: object) -> str:
    """JSON in one spelling; a text that holds JSON, as OpenAI's interface gives, is read first."""
    if not isinstance(arguments, str):
        return json.dumps(_plain(arguments), sort_keys=True)
    try:
        return canonical(_object(json.loads(arguments)))
    except ValueError:
        return arguments


def _object(value: object) -> object:
    if not isinstance(value, Mapping):
        raise ValueError("arguments are an object")
    return value


def _plain(value: object) -> object:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value
