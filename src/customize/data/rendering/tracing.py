"""Where each message went in the rendered text: by marks, else by mutation.

Marks cost one more rendering and are proven harmless (without them the text is the same). Where a
template looks into the text, and marks disturb it, every message is swapped for another text and
what moves is its place. Knows nothing of tokens or weights.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

from customize._errors import RenderingError
from customize.data.rendering.conversation import (
    Conversation,
    with_contents,
    with_text_arguments,
)
from customize.data.rendering.environment import ChatTemplate
from customize.data.rendering.marks import Marker, Piece, Span, Traced, holds_marks

_Form = Callable[[Sequence[Mapping[str, Any]]], list[dict[str, Any]]]


def _as_they_are(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [dict(message) for message in messages]


def _text_and_contents(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return with_text_arguments(with_contents(messages))


# Templates disagree on how a tool call is given: the first that one accepts for a conversation is
# taken, whatever came before, so that rows render alike in any order.
_FORMS: tuple[_Form, ...] = (_as_they_are, with_contents, with_text_arguments, _text_and_contents)
_MARKED = re.compile("[\U00100000-\U0010ffef].*?[\U00100000-\U0010ffef]", re.DOTALL)
# Templates write parts of a tool, and drop earlier turns' reasoning.
_MAY_BE_DROPPED = ("reasoning", "tools", "documents")
_WORDS = ("qvzxj wkqzv", "jzkwx")


@attrs.frozen
class Trace:
    """A rendered text, where its pieces lie, and all pieces the conversation had."""

    traced: Traced
    pieces: Sequence[Piece]

    @property
    def text(self) -> str:
        return self.traced.text

    @property
    def data(self) -> list[tuple[int, int]]:
        """Ranges that came from data, in order and apart."""
        ranges: list[tuple[int, int]] = []
        for span in self.traced.spans:
            if ranges and span.start < ranges[-1][1]:
                ranges[-1] = (ranges[-1][0], max(ranges[-1][1], span.end))
            else:
                ranges.append((span.start, span.end))
        return ranges

    def check_complete(self) -> None:
        """Everything but earlier reasoning is in the text; of a document, its longest part.

        Raises:
            RenderingError: the template drops a part of a message, the tools or the documents.
        """
        present = {id(span.piece) for span in self.traced.spans}
        for piece in self.pieces:
            if id(piece) not in present and piece.part not in _MAY_BE_DROPPED:
                what = "tool call" if piece.part == "call" else piece.part
                raise RenderingError(
                    f"message {piece.message}: the template does not write its {what} "
                    f"{piece.text[:40]!r}: it may want content as a list of blocks, or the model "
                    "was not made for this kind of message"
                )
        for part in ("tools", "documents"):
            wanted = [id(piece) for piece in self.pieces if piece.part == part]
            if wanted and not present.intersection(wanted):
                raise _unwritten(part)
        self._check_documents(present)

    def _check_documents(self, present: set[int]) -> None:
        longest: dict[int, Piece] = {}
        for piece in self.pieces:
            if piece.part == "documents":
                known = longest.setdefault(piece.message, piece)
                longest[piece.message] = max(known, piece, key=lambda p: len(p.text))
        for piece in longest.values():
            if id(piece) not in present:
                raise RenderingError(
                    f"the template does not write {piece.text[:40]!r} of document "
                    f"{-1 - piece.message}: name its parts as the template does, mostly title and "
                    "text, or put it into the system or user message"
                )


class Tracer:
    """A template with its special tokens; traces what it renders."""

    def __init__(
        self,
        template: ChatTemplate,
        special: Mapping[str, Any],
        find_control: Callable[[str], Sequence[re.Match[str]]],
    ) -> None:
        self._template = template
        self._special = special
        self._find_control = find_control

    def plain(self, conversation: Conversation, generation: bool) -> str:
        """The text alone."""
        return self._with_form(conversation, generation)[1]

    def trace(self, conversation: Conversation, generation: bool) -> Trace:
        """The text and where everything in it came from.

        Raises:
            RenderingError: the template refuses, or the places cannot be proven.
        """
        messages, text = self._with_form(conversation, generation)
        shown = json.dumps(
            [messages, conversation.tools, conversation.documents], ensure_ascii=False
        )
        if holds_marks(shown):
            raise RenderingError(
                "the messages hold characters of the private-use plane U+100000, which rendering "
                "needs for itself: remove them"
            )
        marker = Marker()
        marked = attrs.evolve(
            conversation,
            messages=marker.messages(messages),
            tools=marker.tools(conversation.tools),
            documents=marker.documents(conversation.documents),
        )
        self._refuse_hidden_control(marked, shown)
        traced = self._read(marker, marked, generation)
        if traced is not None and traced.text == text:
            return Trace(traced, marker.pieces)
        control = self._find_control(shown)
        if control:
            raise RenderingError(
                "text of the messages looks like control tokens, and this template looks into the "
                f"text, so they cannot be kept apart: remove {control[0].group()!r}"
            )
        return self._mutate(attrs.evolve(conversation, messages=messages), text, generation)

    def _with_form(
        self, conversation: Conversation, generation: bool
    ) -> tuple[list[dict[str, Any]], str]:
        if not conversation.calls_tools:
            return conversation.messages, self._render(conversation, generation)
        failure: RenderingError | None = None
        for form in _FORMS:
            messages = form(conversation.messages)
            try:
                text = self._render(attrs.evolve(conversation, messages=messages), generation)
            except RenderingError as error:
                failure = failure or error
                continue
            return messages, text
        assert failure is not None
        raise failure

    def _render(self, conversation: Conversation, generation: bool, marks: bool = False) -> str:
        variables = {
            **self._special,
            "messages": conversation.messages,
            "tools": conversation.tools,
            "documents": conversation.documents,
            "add_generation_prompt": generation,
        }
        return self._template.render(variables, marks)

    def _read(self, marker: Marker, marked: Conversation, generation: bool) -> Traced | None:
        try:
            return marker.read(self._render(marked, generation, marks=True))
        except RenderingError:
            # The template accepted the text without marks: it looks into it.
            return None

    def _refuse_hidden_control(self, marked: Conversation, shown: str) -> None:
        """Names, keys and ids are not marked: control tokens in them could not be told apart."""
        if not self._find_control(shown):
            return
        rest = json.dumps([marked.messages, marked.tools, marked.documents], ensure_ascii=False)
        for match in self._find_control(_MARKED.sub("", rest)):
            if match.group() not in ("<think>", "</think>", "<tool_call>", "</tool_call>"):
                raise RenderingError(
                    f"the control token {match.group()!r} stands in a key, name or id of the "
                    "messages or tools: remove it"
                )

    def _mutate(self, conversation: Conversation, text: str, generation: bool) -> Trace:
        spans: list[Span] = []
        pieces: list[Piece] = []
        for index, message in enumerate(conversation.messages):
            if not _has_text(message):
                continue
            piece = Piece(index, "content", "")
            pieces.append(piece)
            place = self._place(conversation, index, text, generation)
            if place is not None:
                spans.append(Span(*place, piece))
        spans.sort(key=lambda span: span.start)
        for one, two in itertools.pairwise(spans):
            if one.end > two.start:
                raise RenderingError(
                    f"the template rewrites message {one.piece.message} when message "
                    f"{two.piece.message} changes: what belongs to whom cannot be proven"
                )
        self._probe_beside(conversation, text, generation)
        return Trace(Traced(text, tuple(spans), ()), pieces)

    def _probe_beside(self, conversation: Conversation, text: str, generation: bool) -> None:
        """Tools and documents have no pieces here: what does not move with them is not written."""
        for part in ("tools", "documents"):
            for i, one in enumerate(getattr(conversation, part) or ()):
                items = list(getattr(conversation, part))
                items[i] = _swapped(one, _WORDS[0])
                other = attrs.evolve(conversation, **{part: items})
                if items[i] != one and self._render(other, generation) == text:
                    raise _unwritten(part)

    def _place(
        self, conversation: Conversation, index: int, text: str, generation: bool
    ) -> tuple[int, int] | None:
        """What moves when the message's text is swapped, over two different swaps."""
        low, high = len(text), 0
        for word in _WORDS:
            messages = list(conversation.messages)
            messages[index] = _swapped(messages[index], word)
            other = self._render(attrs.evolve(conversation, messages=messages), generation)
            if other == text or word not in other:
                return None
            start, end = _moved(text, other)
            low, high = min(low, start), max(high, end)
        return (low, high) if low < high else None


def _unwritten(part: str) -> RenderingError:
    return RenderingError(
        f"the template does not write {part}: put them into the system or user message"
    )


def _moved(text: str, other: str) -> tuple[int, int]:
    """The part of ``text`` between what both begin with and what both end with."""
    limit = min(len(text), len(other))
    start = next((i for i in range(limit) if text[i] != other[i]), limit)
    room = limit - start
    tail = next((i for i in range(room) if text[-1 - i] != other[-1 - i]), room)
    return start, len(text) - tail


def _has_text(message: Mapping[str, Any]) -> bool:
    return bool(message.get("content") or message.get("tool_calls"))


def _swapped(value: Any, word: str, key: str = "") -> Any:
    """The same with every text that is said replaced; tags, keys and ids stay."""
    if isinstance(value, str):
        if key in ("role", "type", "id", "tool_call_id"):
            return value
        parts = re.split(r"(<[^<>]*>)", value)
        return "".join(p if i % 2 or not p.strip() else word for i, p in enumerate(parts))
    if isinstance(value, dict):
        return {k: _swapped(item, word, k) for k, item in value.items()}
    if isinstance(value, list):
        return [_swapped(item, word) for item in value]
    return value
