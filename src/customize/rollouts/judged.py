"""The ready-made environments: a prompt judged by a reward, with tools or without.

Like any other environment they are generators; the driver knows no others.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Generator, Sequence
from typing import Any

from customize._errors import OptionError, OutOfRoom
from customize._functions import load_function
from customize.interfaces.dataset import Row
from customize.interfaces.environment import Environment, Reply, Rows, Turn, Verdict
from customize.interfaces.renderer import Message
from customize.interfaces.renderer import Tool as Schema
from customize.plugins.environments import is_offered, offered_environment
from customize.plugins.references import split
from customize.rollouts.checking import SECONDS, check_reward
from customize.rollouts.limits import limited
from customize.rollouts.rewards import Finished, Given, Reward, name_of
from customize.rollouts.tools import Tool, Toolbox

Play = Generator[Turn | list[dict[str, str]], Reply, Verdict]
Function = Callable[..., Any]  # a person's


def judged(
    given: Given, tools: Sequence[str | Function] = (), seconds: float | None = None
) -> Environment:
    """The environment that a reward makes: the row's messages, then whatever tools answer.

    A row's ``documents`` are shown with them, and its ``tools`` in place of the functions' own
    schemas: each is to be answered by a function of that name. Where no functions are given a call
    is text like any other, which the reward judges.

    seconds: for each call of a tool, for the reward, and for a judge of siblings; 30 unless given.

    Raises:
        OptionError: the reward or a tool cannot be used.
    """
    limit = SECONDS if seconds is None else seconds
    reward = Reward.of(given)
    offered = [Tool.of(load_function(tool)) for tool in tools]
    _check_names(offered)
    schemas = tuple(tool.schema for tool in offered)

    def play(row: Row, rng: random.Random) -> Play:
        shown, documents = row.get("tools") or schemas, row.get("documents") or ()
        box = Toolbox([tool for tool in offered if tool.name in _names(shown)])
        said, reply = _Said(row["messages"]), None
        turn: Turn | list[dict[str, str]] = Turn(row["messages"], shown, documents=documents)
        try:
            while True:
                reply = yield turn
                said.add(reply)
                turn = [limited(limit, box.answer, call) for call in reply.calls]
                turn += [_unread(fault) for fault in reply.faults]
                if not turn or reply.stopped == "length":
                    break
                said.messages += turn
        except OutOfRoom:
            pass  # what was reached is judged
        verdict = reward.verdict(said.finished(row, reply))
        return Verdict(verdict.reward, verdict.parts, box.faults, box.calls)

    name = " + ".join(part.name for part in reward.parts)
    siblings = reward.among if reward.of_siblings else None

    def check(rows: Rows) -> None:
        for tool in offered:
            tool.check()
        if offered:
            _check_tools(rows, _names(schemas))
        if told := check_reward(reward, rows, limit):
            warnings.warn(told, stacklevel=3)

    weighed = tuple((part.function, part.weight) for part in reward.parts)
    return Environment(
        play,
        name,
        limit,
        siblings=siblings,
        check=check,
        single=not offered,
        made_of=(*weighed, *(tool.function for tool in offered)),
    )


def _check_names(tools: Sequence[Tool]) -> None:
    names = [tool.name for tool in tools]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise OptionError(
            f"two tools have one name, {', '.join(twice)}: give one another name; "
            "customize.search_in takes name="
        )


def _names(schemas: Sequence[Schema]) -> set[Any]:
    return {schema.get("function", schema).get("name") for schema in schemas}


def _check_tools(rows: Rows, names: set[Any]) -> None:
    for index in range(len(rows)):
        if unanswered := _names(rows[index].get("tools") or ()) - names:
            raise OptionError(
                f"row {index + 1} offers {', '.join(sorted(map(str, unanswered)))}, which no "
                "function of tools= answers: give one of that name, or take the column tools out"
            )


class _Said:
    """The conversation, for rewards that ask for it."""

    def __init__(self, messages: Sequence[Message]) -> None:
        self.messages: list[Message] = list(messages)
        self.completion = ""
        self.num_tokens = 0

    def add(self, reply: Reply) -> None:
        self.completion = reply.content
        self.num_tokens += reply.num_tokens
        self.messages.append({"role": "assistant", "content": reply.text})

    def finished(self, row: Row, last: Reply | None) -> Finished:
        # Calls of tools that are still open when there is no more room are an end that was cut.
        cut = last is None or last.stopped == "length" or self.messages[-1]["role"] == "tool"
        return Finished(self.completion, tuple(self.messages), row, self.num_tokens, cut)


def _unread(fault: str) -> dict[str, str]:
    return {
        "role": "tool",
        "tool_call_id": "call00000",
        "name": "error",
        "content": f"error: {fault.replace('_', ' ')}: write the tool's name and its arguments as "
        "calls are written here",
    }


def find_environment(given: str | Function | Environment) -> Environment:
    """An environment as it is, a generator function, ``package.module:name``, or the name that a
    plugin offers; both with options, as in ``gsm8k:level=3``.

    Raises:
        OptionError: it is none of these, or an option is wrong.
        UnknownName: no plugin offers the name.
    """
    if isinstance(given, str):
        reference, options = split(given)
        if is_offered(reference):
            return offered_environment(reference).with_parameters(options)
        return find_environment(load_function(reference)).with_parameters(options)
    if isinstance(given, Environment):
        return given
    return Environment(given, name_of(given))
