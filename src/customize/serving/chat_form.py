"""The JSON of /v1/chat/completions' replies. Knows no transport."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs
import numpy as np

from customize.interfaces.runtime import Said
from customize.serving.asked import AskedChat
from customize.serving.choices import Choice
from customize.serving.forms import Form, Json, bounded
from customize.serving.speech import Piece


class ChatForm(Form):
    """Messages. Where tools may be called an answer is taken apart at its end, and told at once."""

    prefix, kind, chunk_kind = "chatcmpl", "chat.completion", "chat.completion.chunk"
    asked: AskedChat

    def __init__(self, asked: AskedChat, choices: Sequence[Choice]) -> None:
        super().__init__(asked, choices)
        self._begun: set[int] = set()
        self._calls_before = sum(len(m.get("tool_calls", ())) for m in asked.messages)

    def choice(self, number: int) -> Json:
        heard = self.heard[number]
        message = self._message(number)
        finish = "tool_calls" if message.get("tool_calls") else heard.finish
        return {
            "index": number,
            "message": message,
            "logprobs": self._logprobs(heard.said),
            "finish_reason": finish,
            **self._grounding(number),
        }

    def changes(self, number: int, piece: Piece) -> Iterator[Json]:
        if self.asked.tools is None:
            if piece.text or (piece.said and self.asked.top_logprobs is not None):
                yield self._change(number, {"content": piece.text}, piece.said)
            finish: str | None = piece.finish
        elif piece.finish is None:
            return
        else:
            whole = self.choice(number)
            finish = whole["finish_reason"]
            message = {k: v for k, v in whole["message"].items() if v is not None}
            calls = [{"index": i, **call} for i, call in enumerate(message.pop("tool_calls", ()))]
            delta = {**message, "tool_calls": calls} if calls else message
            yield self._change(number, delta, self.heard[number].said)
        if finish is not None:
            last = {"finish_reason": finish, **self._grounding(number)}
            yield {**self._change(number, {}), **last}

    def _change(self, number: int, delta: Json, said: Sequence[Said] = ()) -> Json:
        """The first of a choice says whose words these are."""
        if number not in self._begun:
            self._begun.add(number)
            delta = {"role": "assistant", "content": "", **delta}
        logprobs = self._logprobs(said) if delta and said else None
        return {"index": number, "delta": delta, "logprobs": logprobs, "finish_reason": None}

    def _message(self, number: int) -> Json:
        """As ``Run.reply`` has it, and with tools as ``Run.reply_message`` has it."""
        if self.asked.tools is None:
            return {"role": "assistant", "content": self.heard[number].text}
        speech = self.choices[number].speech
        message = self.asked.served.renderer.parse(np.asarray(speech.tokens, np.int32))
        for stop in self.asked.stops:
            message["content"] = message["content"].partition(stop)[0].rstrip()
        if calls := message.get("tool_calls"):
            message["content"] = message["content"] or None
            message["tool_calls"] = [self._call(i, call) for i, call in enumerate(calls)]
        return message

    def _grounding(self, number: int) -> Json:
        """Of an answer from documents: what it rests on, when it is at its end."""
        library, hits = self.asked.served.library, self.asked.hits
        if library is None or hits is None:
            return {}
        read = library.grounding.read(self.heard[number].text, hits)
        cited = [attrs.asdict(one) for one in read.citations]
        return {"grounding": {"text": read.text, "abstained": read.abstained, "citations": cited}}

    def _call(self, number: int, call: Mapping[str, Any]) -> Json:
        """Arguments as text, and an id that is new in the conversation."""
        function = call["function"]
        arguments = json.dumps(function["arguments"], ensure_ascii=False)
        own = call["id"] if call["id"] != f"call{number:05}" else None
        return {
            "id": own or f"call{self._calls_before + number:05}",
            "type": "function",
            "function": {"name": function["name"], "arguments": arguments},
        }

    def _logprobs(self, said: Sequence[Said]) -> Json | None:
        if self.asked.top_logprobs is None:
            return None
        content = [
            {
                **self._token(one.token, one.logprob),
                "top_logprobs": [self._token(*likely) for likely in one.top],
            }
            for one in said
        ]
        return {"content": content, "refusal": None}

    def _token(self, token: int, logprob: float) -> Json:
        """Bytes are told where the token's text is whole by itself."""
        text = self.token_text(token)
        whole = "\ufffd" not in text
        return {
            "token": text,
            "logprob": bounded(logprob),
            "bytes": list(text.encode()) if whole else None,
        }
