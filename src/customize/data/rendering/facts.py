"""What is learned of a template once: how the assistant's turn begins and ends.

Knows the template and its control tokens; nothing of weights.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import attrs

from customize._errors import RenderingError
from customize.data.rendering.codec import Codec
from customize.data.rendering.conversation import Conversation
from customize.data.rendering.reply import Form, form_of
from customize.data.rendering.tracing import Trace, Tracer

QUESTION = {"role": "user", "content": "Where is it?"}
ANSWER = {"role": "assistant", "content": "Over there."}
CALL = {
    "id": "call12345",
    "type": "function",
    "function": {"name": "look", "arguments": {"at": "maps", "pages": 2}},
}
CALLING = {"role": "assistant", "content": "", "tool_calls": [CALL]}
_PREFILL = re.compile(r"\s*<think>.*", re.DOTALL)


@attrs.frozen
class Facts:
    """headers: how a turn begins, the whole first, then without what only prompts hold.

    ends: control tokens that may end a turn. stop_tokens: ids at which sampling stops.
    end: the token the template itself ends a last turn with, or None.
    calls: how the template writes calls of tools, or None where it writes none we can read.
    """

    headers: tuple[str, ...]
    ends: tuple[str, ...]
    end: str | None
    stop_tokens: tuple[int, ...]
    calls: Form | None


def learn(tracer: Tracer, codec: Codec, eos: Sequence[int]) -> Facts:
    """Ask the template, by rendering a few short conversations."""
    header = _header(tracer, codec)
    end = _end(tracer, codec, [QUESTION, ANSWER])
    # A template without an end of turn shows the next turn's opening there: no end either.
    middle = _end(tracer, codec, [QUESTION, ANSWER, QUESTION, ANSWER]) if end else None
    by_id = {number: text for text, number in codec.control.items()}
    declared = [by_id[token] for token in eos if token in by_id]
    ends = dict.fromkeys(text for text in (end, middle, *declared) if text)
    stops = dict.fromkeys([*eos, *([codec.control[end]] if end else [])])
    calls = _calls(tracer, tuple(ends))
    return Facts(_headers(header), tuple(ends), end, tuple(stops), calls)


def _header(tracer: Tracer, codec: Codec) -> str:
    """What a prompt for an answer has beyond the conversation."""
    question = Conversation.read([QUESTION])
    try:
        asked = _after(tracer.trace(question, True), 0)
        told = _after(tracer.trace(question, False), 0)
    except RenderingError:
        return ""
    same = next((i for i, (a, b) in enumerate(zip(asked, told, strict=False)) if a != b), None)
    same = min(len(asked), len(told)) if same is None else same
    for match in codec.find_control(asked):
        if match.start() < same < match.end():
            same = match.start()
    return asked[same:]


def _headers(header: str) -> tuple[str, ...]:
    shorter = (header, header.rstrip(), _PREFILL.sub("", header))
    return tuple(dict.fromkeys(text for text in shorter if text.strip()))


def _end(tracer: Tracer, codec: Codec, messages: Sequence[dict[str, str]]) -> str | None:
    """The first control token after the first answer."""
    try:
        after = _after(tracer.trace(Conversation.read(messages), False), 1)
    except RenderingError:
        return None
    found = codec.find_control(after)
    return found[0].group() if found else None


def _calls(tracer: Tracer, ends: Sequence[str]) -> Form | None:
    """The form that takes the template's own writing of a call apart."""
    try:
        asked = tracer.plain(Conversation.read([QUESTION]), True)
        called = tracer.plain(Conversation.read([QUESTION, CALLING]), False)
    except RenderingError:
        return None
    # Some templates open a thought in a prompt and none before a call.
    header = _PREFILL.sub("", asked)
    written = called.removeprefix(asked if called.startswith(asked) else header)
    until = min((at for end in ends if (at := written.find(end)) >= 0), default=len(written))
    return form_of(written[:until], [CALL])


def _after(trace: Trace, message: int) -> str:
    """What the template writes after a message, up to the next text of data."""
    spans = trace.traced.spans
    own = [i for i, span in enumerate(spans) if span.piece.message == message]
    if not own:
        return ""
    following = own[-1] + 1
    until = spans[following].start if following < len(spans) else len(trace.text)
    return trace.text[spans[own[-1]].end : until]
