"""The renderer: messages to tokens and weights and back, through a model's own chat template.

Knows jinja2 and tokenizers; neither torch nor transformers.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import attrs
import numpy as np

from customize._batch import Floats, Ints
from customize._errors import RenderingError
from customize._printable import printable
from customize.data.rendering.codec import Codec
from customize.data.rendering.conversation import Conversation
from customize.data.rendering.environment import ChatTemplate
from customize.data.rendering.extension import Extender
from customize.data.rendering.facts import Facts, learn
from customize.data.rendering.folder import ChatFolder
from customize.data.rendering.mask import check_tokens, trained_ranges, weights_of
from customize.data.rendering.reply import Form, is_unread_call, parse_reply
from customize.data.rendering.tracing import Tracer
from customize.data.rendering.untrainable import Untrainable
from customize.interfaces.renderer import Document, Message, Rendered, Tool

# Part of every fingerprint: raise it when the same messages may give other tokens or weights.
_VERSION = 3


_THOUGHT = "</think>"  # the end of one

# What was learned of a template, by the hash of it and of all that it was learned with.
_PROVEN: dict[str, Facts] = {}


@attrs.frozen
class _Template:
    """One chat template and what was learned of it."""

    tracer: Tracer
    facts: Facts
    extender: Extender


class ChatRenderer:
    """Messages to tokens and weights for one model. Safe to use from several threads.

    loss_on: "all" answers, or only the "last_turn". A message with ``"train": False`` is never
        trained on. An earlier answer whose reasoning the template drops is not either.
    needs_end: refuse a template that ends the assistant's turn with no stop token.
    """

    def __init__(
        self,
        folder: ChatFolder,
        *,
        loss_on: Literal["all", "last_turn"] = "all",
        needs_end: bool = True,
    ) -> None:
        self._folder = folder
        self._codec = Codec(folder.tokenizer_json, "\0".join(folder.templates.values()))
        self._untrainable = _untrainable(folder, self._codec)
        self._loss_on = loss_on
        self._needs_end = needs_end
        self._known: dict[str, _Template] = {}
        self._lock = threading.Lock()

    @classmethod
    def from_folder(
        cls,
        path: str | Path,
        *,
        loss_on: Literal["all", "last_turn"] = "all",
        needs_end: bool = True,
    ) -> ChatRenderer:
        """Raises ModelError when the folder's tokenizer or template is missing or damaged."""
        return cls(ChatFolder.read(Path(path)), loss_on=loss_on, needs_end=needs_end)

    @property
    def stop_tokens(self) -> tuple[int, ...]:
        """What generation_config.json declares, and what the template ends an answer with."""
        return self._template(None).facts.stop_tokens

    @property
    def tokenizer_json(self) -> bytes:
        """The tokenizer, as its library reads it."""
        return self._folder.tokenizer_json

    @property
    def vocabulary_size(self) -> int:
        return self._codec.vocabulary_size

    @property
    def fingerprint(self) -> str:
        """sha256 of tokenizer, templates, special tokens and options."""
        return _hash(self._folder, _VERSION, self._loss_on, self._needs_end)

    def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool] | None = None,
        documents: Sequence[Document] | None = None,
    ) -> Rendered:
        """Tokens of the conversation; weights prove which of them are the assistant's.

        Raises:
            RenderingError: it cannot be proven, nothing is the assistant's, or the model cannot
                be trained on a token of it; the tokens are shown.
        """
        conversation = Conversation.read(messages, tools, documents)
        template = self._template(tools)
        trace = template.tracer.trace(conversation, False)
        tokens, offsets = self._codec.encode(trace.text, trace.data)
        weights = np.zeros(len(tokens), np.float32)
        try:
            ranges = trained_ranges(
                trace,
                self._trained(conversation),
                template.facts,
                lambda index: template.tracer.plain(conversation.until(index), True),
                self._needs_end,
            )
            weights = weights_of(ranges, offsets)
            ends = [self._codec.control[end] for end in template.facts.ends]
            self._untrainable.check(
                tokens,
                weights,
                ends,
                self._codec.token_text,
                lambda at: trace.text[slice(*offsets[at])],
            )
            check_tokens(tokens, weights, ends, self._needs_end)
        except RenderingError as error:
            raise RenderingError(f"{error}\ntokens: {self.strip(tokens, weights)}") from error
        return Rendered(tokens, weights)

    def prompt(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool] | None = None,
        documents: Sequence[Document] | None = None,
    ) -> Ints:
        """Tokens up to where the assistant begins to speak, int32 [T].

        Raises:
            RenderingError: the template drops a part of what is given.
        """
        conversation = Conversation.read(messages, tools, documents)
        trace = self._template(tools).tracer.trace(conversation, True)
        trace.check_complete()
        return self._codec.encode(trace.text, trace.data)[0]

    def extend(
        self,
        tokens: Ints,
        messages: Sequence[Message],
        tools: Sequence[Tool] | None = None,
        documents: Sequence[Document] | None = None,
    ) -> Ints:
        """``tokens`` (a prompt and its completion) with messages and a new opening appended.

        An answer that was cut is ended first; nothing before changes. ``tools`` and ``documents``
        are those the prompt was made with.

        Raises:
            Unsupported: the template rewrites earlier turns.
        """
        template = self._template(tools)
        thinks = self._holds_thoughts(tokens, template.facts)
        suffix = template.extender.suffix(messages, thinks, tools, documents)
        end = str(template.facts.end)
        added, _ = self._codec.encode(
            end + suffix.text, [(a + len(end), b + len(end)) for a, b in suffix.data]
        )
        ends = {self._codec.control[text] for text in template.facts.ends}
        is_ended = len(tokens) > 0 and int(tokens[-1]) in ends
        return np.concatenate([np.asarray(tokens, np.int32), added[1:] if is_ended else added])

    def _holds_thoughts(self, tokens: Ints, facts: Facts) -> bool:
        """Whether an answer in them has reasoning; data that speaks of it has none."""
        mark = self._codec.control.get(_THOUGHT)
        if mark is not None:  # data is never encoded as it
            return bool(np.isin(mark, tokens))
        text = self._codec.decode(tokens, keep_control=True)
        if not facts.headers:
            return _THOUGHT in text
        answers = text.split(facts.headers[-1])[1:]
        return any(_THOUGHT in answer.partition(str(facts.end))[0] for answer in answers)

    def decode(self, tokens: Ints) -> str:
        """The text of tokens, control tokens left out."""
        return self._codec.decode(tokens, keep_control=False)

    def text_of(self, tokens: Ints) -> str:
        """The text of tokens, control tokens written out."""
        return self._codec.decode(tokens, keep_control=True)

    def encode_text(self, text: str) -> Ints:
        """Tokens of plain text, int32 [T]; nothing in it becomes a control token."""
        return self._codec.encode_text(text)

    def parse(self, tokens: Ints) -> dict[str, Any]:
        """The assistant's message that a completion holds: content, reasoning, tool calls."""
        message, form = self._parsed(tokens)
        message["content"] = self._without_special(message["content"], form)
        return message

    def leaves_a_call(self, tokens: Ints) -> bool:
        """Whether a completion was to call a tool, in a call that cannot be read."""
        message, form = self._parsed(tokens)
        content = str(message["content"])
        marks = (mark for mark in self._codec.control if mark in content)
        return is_unread_call(content, form) or any(form.opens(mark) for mark in marks if form)

    def _parsed(self, tokens: Ints) -> tuple[dict[str, Any], Form | None]:
        """A completion's message, control tokens in it still, and how the template writes calls."""
        facts = self._template(None).facts
        # A template of its own for tools writes their calls.
        calls = self._template([{}]).facts.calls
        ends = {*facts.stop_tokens}
        length = next((i for i, t in enumerate(tokens) if int(t) in ends), len(tokens))
        text = self._codec.decode(tokens[:length], keep_control=True)
        begins = bool(facts.headers) and facts.headers[0].rstrip().endswith("<think>")
        return parse_reply(text, begins, calls), calls

    def _without_special(self, text: str, calls: Form | None) -> str:
        """Markup of a call that could not be read stays, to be seen."""
        for special in self._codec.special:
            if special not in text:
                continue
            of_a_call = "tool_call" in special or (calls is not None and calls.writes(special))
            if "think" not in special and not of_a_call:
                text = text.replace(special, "")
        return text.strip()

    def strip(self, tokens: Ints, weights: Floats, limit: int = 200) -> str:
        """The tokens for a terminal: trained ones between ⟦ and ⟧, tokens apart by ``|``."""
        shown = []
        skipped = max(len(tokens) - limit, 0)
        inside = False
        for token, weight in zip(tokens[skipped:], weights[skipped:], strict=True):
            if bool(weight) != inside:
                shown.append("⟦" if weight else "⟧")
                inside = bool(weight)
            shown.append(printable(self._codec.token_text(int(token)), keeping="") + "|")
        note = f"({skipped} tokens before) " if skipped else ""
        return note + "".join(shown) + ("⟧" if inside else "")

    def _trained(self, conversation: Conversation) -> list[bool]:
        answers = [i for i, train in enumerate(conversation.trained) if train]
        if self._loss_on == "last_turn":
            answers = answers[-1:]
        return [index in answers for index in range(len(conversation.messages))]

    def _template(self, tools: Sequence[Tool] | None) -> _Template:
        templates = self._folder.templates
        name = "tool_use" if tools and "tool_use" in templates else "default"
        with self._lock:
            if name not in self._known:
                self._known[name] = self._learn(templates.get(name, next(iter(templates.values()))))
            return self._known[name]

    def _learn(self, source: str) -> _Template:
        tracer = Tracer(ChatTemplate(source), self._folder.special, self._codec.find_control)
        key = _hash(self._folder, source)
        if key not in _PROVEN:
            named = self._codec.token_id(str(self._folder.special.get("eos_token")))
            eos = self._folder.eos or (() if named is None else (named,))
            _PROVEN[key] = learn(tracer, self._codec, eos)
        facts = _PROVEN[key]
        return _Template(tracer, facts, Extender(tracer, facts))


def _hash(folder: ChatFolder, *more: object) -> str:
    """sha256 of all that a folder says of its conversations, and of ``more``."""
    about = [dict(folder.templates), dict(folder.special), folder.eos, folder.vocabulary_size]
    text = json.dumps([*about, *more], sort_keys=True)
    return hashlib.sha256(folder.tokenizer_json + text.encode()).hexdigest()


def _untrainable(folder: ChatFolder, codec: Codec) -> Untrainable:
    pad, unknown = (codec.token_id(str(folder.special.get(f"{n}_token"))) for n in ("pad", "unk"))
    ids = (token for token in (codec.unknown, unknown) if token is not None)
    return Untrainable(pad, frozenset(ids), folder.vocabulary_size)
