"""Marks: which characters of a rendered text came from which field of which message.

Every piece of text that data brings is wrapped in a pair of private-use characters before the
template runs; in what the template writes, the marks say where the piece went. They lie inside
leading and trailing blanks, so that a template that trims is not misled, and the caller proves
them harmless: without them the text must equal the one rendered without. Knows nothing of tokens.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from customize._errors import RenderingError

_FIRST = 0x100000
_MAX_PIECES = 30_000
GENERATION_OPEN, GENERATION_CLOSE = "\U0010fff0", "\U0010fff1"
_MARK = re.compile("[\U00100000-\U0010fffd]")
# What the assistant itself writes around parts of its answer; templates look for these.
_MARKUP = re.compile(r"(</?think>|</?tool_call>)")


@attrs.frozen
class Piece:
    """One run of text that data brought. ``message`` is its index; that of tools and documents
    counts down from -1.

    part: "content", "reasoning", "call", "tools" or "documents".
    """

    message: int
    part: str
    text: str


@attrs.frozen
class Span:
    """Characters [start, end) of the rendered text came from ``piece``."""

    start: int
    end: int
    piece: Piece


@attrs.frozen
class Traced:
    """A rendered text, where its pieces lie, and its generation tags."""

    text: str
    spans: tuple[Span, ...]
    tags: tuple[tuple[int, int], ...]


class Marker:
    """Marks conversations and reads marked text back; one per conversation."""

    def __init__(self) -> None:
        self.pieces: list[Piece] = []

    def messages(self, messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Copies with content, reasoning and tool calls marked."""
        return [self._message(index, message) for index, message in enumerate(messages)]

    def tools(self, tools: Sequence[Any] | None) -> list[Any] | None:
        """Copies with names and descriptions marked."""
        if tools is None:
            return None
        return [
            self._leaves(tool, -1 - i, "tools", ("name", "description"))
            for i, tool in enumerate(tools)
        ]

    def documents(self, documents: Sequence[Any] | None) -> list[Any] | None:
        """Copies with every text marked."""
        if documents is None:
            return None
        return [
            self._leaves(document, -1 - i, "documents", None)
            for i, document in enumerate(documents)
        ]

    def read(self, marked: str) -> Traced | None:
        """Take the marks out again; None when the template has torn them apart."""
        parts: list[str] = []
        spans: list[Span] = []
        tags: list[tuple[int, int]] = []
        open_pieces: dict[int, int] = {}
        open_tag = -1
        position = last = 0
        for match in _MARK.finditer(marked):
            parts.append(marked[last : match.start()])
            position += match.start() - last
            last = match.end()
            mark = match.group()
            if mark == GENERATION_OPEN:
                open_tag = position
            elif mark == GENERATION_CLOSE:
                tags.append((open_tag, position))
            elif not self._read_mark(ord(mark) - _FIRST, position, open_pieces, spans):
                return None
        if open_pieces:
            return None
        parts.append(marked[last:])
        return Traced("".join(parts), tuple(sorted(spans, key=lambda s: s.start)), tuple(tags))

    def _read_mark(
        self, code: int, position: int, open_pieces: dict[int, int], spans: list[Span]
    ) -> bool:
        number, closes = divmod(code, 2)
        if number >= len(self.pieces) or bool(closes) != (number in open_pieces):
            return False
        if closes:
            spans.append(Span(open_pieces.pop(number), position, self.pieces[number]))
        else:
            open_pieces[number] = position
        return True

    def _message(self, index: int, message: Mapping[str, Any]) -> dict[str, Any]:
        copy = dict(message)
        is_answer = message["role"] == "assistant"
        if "content" in copy:
            copy["content"] = self._content(copy["content"], index, is_answer)
        for key in ("reasoning_content", "thinking", "reasoning"):
            if isinstance(copy.get(key), str):
                copy[key] = self._mark(copy[key], index, "reasoning")
        if copy.get("tool_calls"):
            copy["tool_calls"] = [self._call(call, index) for call in copy["tool_calls"]]
        return copy

    def _content(self, content: Any, index: int, is_answer: bool) -> Any:
        if isinstance(content, str):
            if is_answer:
                return self._answer(content, index)
            return self._mark(content, index, "content")
        if isinstance(content, list):
            return [
                {**block, "text": self._content(block["text"], index, is_answer)}
                if isinstance(block, dict) and isinstance(block.get("text"), str)
                else block
                for block in content
            ]
        return self._leaves(content, index, "content", None)

    def _answer(self, content: str, index: int) -> str:
        """An answer's own <think> and <tool_call> stay unmarked: templates look for them."""
        pieces = _MARKUP.split(content)
        closing = max((i for i, piece in enumerate(pieces) if piece == "</think>"), default=-1)
        return "".join(
            piece if i % 2 else self._mark(piece, index, "reasoning" if i < closing else "content")
            for i, piece in enumerate(pieces)
        )

    def _call(self, call: Any, index: int) -> Any:
        function = call.get("function", call)
        marked = dict(function)
        marked["name"] = self._mark(function["name"], index, "call")
        if "arguments" in function:
            marked["arguments"] = self._leaves(function["arguments"], index, "call", None)
        return {**call, "function": marked} if "function" in call else marked

    def _leaves(self, value: Any, index: int, part: str, keys: tuple[str, ...] | None) -> Any:
        if isinstance(value, str):
            return self._mark(value, index, part) if keys is None else value
        if isinstance(value, dict):
            return {
                key: self._mark(item, index, part)
                if isinstance(item, str) and (keys is None or key in keys)
                else self._leaves(item, index, part, keys)
                for key, item in value.items()
            }
        if isinstance(value, list):
            return [self._leaves(item, index, part, keys) for item in value]
        return value

    def _mark(self, text: str, index: int, part: str) -> str:
        core = text.strip()
        if not core:
            return text
        if len(self.pieces) >= _MAX_PIECES:
            raise RenderingError(f"a conversation may have at most {_MAX_PIECES} pieces of text")
        start = text.index(core)
        code = _FIRST + 2 * len(self.pieces)
        self.pieces.append(Piece(index, part, core))
        return f"{text[:start]}{chr(code)}{core}{chr(code + 1)}{text[start + len(core) :]}"


def holds_marks(text: str) -> bool:
    """Whether a text brings mark characters of its own."""
    return _MARK.search(text) is not None
