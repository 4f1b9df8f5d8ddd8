"""Appending to tokens: proof, once per template and tools, that what was said is never rewritten.

Knows the template; nothing of weights.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from customize._errors import RenderingError, Unsupported
from customize.data.rendering.conversation import Conversation
from customize.data.rendering.facts import ANSWER, QUESTION, Facts
from customize.data.rendering.tracing import Trace, Tracer

_ODD = " \n  Over  there.\t\n\n"
_THINKING = {**ANSWER, "reasoning_content": "They ask for a place."}


@attrs.frozen
class Suffix:
    """Text to append: what the template writes after an answer. data: ranges from data in it."""

    text: str
    data: list[tuple[int, int]]


class Extender:
    """Makes suffixes for one template."""

    def __init__(self, tracer: Tracer, facts: Facts) -> None:
        self._tracer = tracer
        self._facts = facts
        self._proven: dict[tuple[str, bool, str], str | None] = {}

    def suffix(
        self,
        messages: Sequence[Mapping[str, Any]],
        thinks: bool,
        tools: Sequence[Mapping[str, Any]] | None,
        documents: Sequence[Mapping[str, Any]] | None,
    ) -> Suffix:
        """What follows an answer's end token when ``messages`` come and an answer is asked for.

        thinks: the answer before them holds reasoning.
        tools, documents: those of the prompt; some templates move them behind what was said.

        Raises:
            Unsupported: the template would rewrite what is there already.
            RenderingError: the messages cannot be rendered.
        """
        if not messages:
            raise RenderingError("extend needs at least one message to append")
        if self._facts.end is None:
            raise Unsupported(
                "the template ends the assistant's turn with no token to append after"
            )
        beside = Conversation.read([QUESTION], tools, documents)
        reason = self._reason(str(messages[0].get("role")), thinks, beside)
        if reason is not None:
            raise Unsupported(f"this chat template cannot be extended: {reason}")
        start = [QUESTION, _answer_before(messages)]
        trace = self._tracer.trace(beside.saying([*start, *messages]), True)
        trace.check_complete()
        return _cut(trace, self._answer_end(trace.text, trace))

    def _reason(self, role: str, thinks: bool, beside: Conversation) -> str | None:
        text = json.dumps([beside.tools, beside.documents], sort_keys=True)
        key = (role, thinks, hashlib.sha256(text.encode()).hexdigest())
        if key not in self._proven:
            try:
                self._proven[key] = self._probe(role, thinks, beside)
            except RenderingError as error:
                self._proven[key] = str(error)
        return self._proven[key]

    def _probe(self, role: str, thinks: bool, beside: Conversation) -> str | None:
        """None, or why the tokens so far would not begin the re-rendered conversation."""
        prompt = self._tracer.plain(beside, True)
        follow = {"role": role, "content": "And then?"}
        if role == "tool":
            follow |= {"tool_call_id": "call12345", "name": "look"}
        answer = _answer_before([follow])
        if thinks:
            answer["reasoning_content"] = _THINKING["reasoning_content"]
        alone = self._tracer.trace(beside.saying([QUESTION, answer]), False)
        said = [alone.text[: self._answer_end(alone.text, alone)]]
        if not thinks and not answer.get("tool_calls"):
            # What a model says that leaves out the empty thought the template writes for it.
            said.append(prompt + str(answer["content"]) + str(self._facts.end))
        after = self._tracer.plain(beside.saying([QUESTION, answer, follow]), True)
        if any(text.startswith(prompt) and after.startswith(text) for text in said):
            return self._probe_spaces(answer, follow, beside)
        what = "an answer with reasoning" if thinks else "an answer"
        given = [name for name in ("tools", "documents") if getattr(beside, name)]
        where = f" in a conversation with {' and '.join(given)}" if given else ""
        return (
            f"it rewrites {what} when a {role} message follows{where}; render the whole "
            "conversation anew with prompt(), and train each turn as its own row"
        )

    def _probe_spaces(
        self, answer: Mapping[str, Any], follow: Mapping[str, Any], beside: Conversation
    ) -> str | None:
        """What follows an answer must be the same whatever blanks the answer has."""
        found = []
        for content in (answer["content"], _ODD):
            turns = [QUESTION, {**answer, "content": content}, follow]
            trace = self._tracer.trace(beside.saying(turns), True)
            found.append(_cut(trace, self._answer_end(trace.text, trace)).text)
        if found[0] == found[1]:
            return None
        return f"what it writes before a {follow['role']} message depends on the answer's blanks"

    def _answer_end(self, text: str, trace: Trace) -> int:
        last = max((s.end for s in trace.traced.spans if s.piece.message == 1), default=0)
        ends = [(text.find(end, last), end) for end in self._facts.ends]
        found = [(at, -len(end)) for at, end in ends if at >= 0]
        if not found:
            raise RenderingError("the template ends an answer inside a conversation with no token")
        at, length = min(found)
        return at - length


def _answer_before(messages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """An answer these messages may follow: results of tools follow the calls of them."""
    calls = [
        {
            "id": message.get("tool_call_id", "call12345"),
            "type": "function",
            "function": {"name": message.get("name", "look"), "arguments": {}},
        }
        for message in messages
        if message.get("role") == "tool"
    ]
    if not calls:
        return dict(ANSWER)
    return {"role": "assistant", "content": "", "tool_calls": calls}


def _cut(trace: Trace, start: int) -> Suffix:
    data = [(a - start, b - start) for a, b in trace.data if a >= start]
    return Suffix(trace.text[start:], data)
