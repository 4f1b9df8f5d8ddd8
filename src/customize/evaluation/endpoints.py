"""A model behind an OpenAI-compatible interface, as a column. Sends to the address given alone.

What is sent: the row's messages, tools and documents. The key is read from the environment
when it is needed, and is in no file, message or error.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import attrs

from customize._errors import BackendError, OptionError, Unsupported
from customize.evaluation.columns import Column, Draw
from customize.evaluation.families import family_of
from customize.evaluation.prompting import Prompting
from customize.evaluation.questions import Question
from customize.interfaces.renderer import Message
from customize.interfaces.scorer import Answer, Likelihood

KEY = "CUSTOMIZE_API_KEY"
_AT_ONCE, _TRIES, _TIMEOUT_S, _WAIT_S = 4, 4, 120.0, 1.0
_AGAIN = (408, 409, 429, 500, 502, 503, 504)


@attrs.frozen
class Endpoint:
    """Where ``/chat/completions`` is, and the model asked for there.

    key_from: the environment variable that holds the key; without such a variable none is sent.
    """

    url: str
    model: str
    key_from: str = KEY

    def __attrs_post_init__(self) -> None:
        if urlsplit(self.url).scheme not in ("http", "https") or not self.model:
            raise OptionError(
                "an endpoint reads https://HOST/v1#MODEL, such as http://127.0.0.1:8000/v1#mine "
                f"(got {self.url}#{self.model})"
            )

    @classmethod
    def parse(cls, text: str) -> Endpoint:
        """From ``https://host/v1#model``."""
        url, _, model = text.partition("#")
        return cls(url.rstrip("/"), model)

    def chat(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The reply to one request, tried again where the server is busy.

        Raises:
            BackendError: it cannot be reached, or refuses; the message has what it said.
        """
        data = json.dumps({"model": self.model, **body}).encode()
        for number in range(_TRIES):
            if number:
                time.sleep(_WAIT_S * 2**number)
            try:
                with _opener().open(self._request(data), timeout=_TIMEOUT_S) as reply:
                    value: dict[str, Any] = json.load(reply)
                    return value
            except urllib.error.HTTPError as error:
                told = error.read(500).decode("utf-8", "replace")
                failure = f"{self.url} answered {error.code}: {told}"
                if error.code not in _AGAIN:
                    break
            except (OSError, ValueError) as error:
                failure = f"{self.url} cannot be used: {error}"
        raise BackendError(failure)

    def _request(self, data: bytes) -> urllib.request.Request:
        headers = {"Content-Type": "application/json"}
        if key := os.environ.get(self.key_from):
            headers["Authorization"] = f"Bearer {key}"
        return urllib.request.Request(f"{self.url}/chat/completions", data, headers)


@attrs.frozen
class EndpointColumn(Column):
    """The answers of an endpoint, asked with a prompt; it gives no log-probabilities."""

    name: str
    endpoint: Endpoint
    prompting: Prompting = attrs.field(factory=Prompting)

    @property
    def told(self) -> str:  # type: ignore[override]  # made from the endpoint
        who = f"{self.endpoint.model} at {self.endpoint.url}"
        return who if self.prompting == Prompting() else f"{who}; prompt: {self.prompting.told}"

    @property
    def family(self) -> str | None:  # type: ignore[override]  # made from the endpoint
        return family_of(self.endpoint.model)

    def key(self, question: Question, draw: Draw) -> str | None:
        """Its weights may change behind its name: delete answers.jsonl to ask again."""
        drawn = str(attrs.astuple(draw)) if draw.temperature else str(draw.max_tokens)
        asked = self._prompted(question).hash
        parts = (self.endpoint.url, self.endpoint.model, asked, drawn)
        return hashlib.sha256("|".join(parts).encode()).hexdigest()

    def answers(self, questions: Sequence[Question], draw: Draw) -> list[Answer]:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return list(pool.map(lambda question: self._answer(question, draw), questions))

    def likelihoods(self, replies: Sequence[tuple[Question, str]]) -> list[Likelihood]:
        if not replies:
            return []
        raise Unsupported(f"{self.endpoint.model} is behind an interface without log-probabilities")

    def _prompted(self, question: Question) -> Question:
        return attrs.evolve(question, messages=self.prompting.applied(question.messages))

    def _answer(self, question: Question, draw: Draw) -> Answer:
        body: dict[str, Any] = {
            "messages": _messages(self._prompted(question)),
            "max_tokens": draw.max_tokens,
            "temperature": draw.temperature,
        }
        if draw.temperature:
            body["seed"] = draw.number
        if question.tools:
            body["tools"] = list(question.tools)
        begun = time.monotonic()
        reply = self.endpoint.chat(body)
        seconds = time.monotonic() - begun
        try:
            choice, usage = reply["choices"][0], reply.get("usage") or {}
            message = choice["message"]
            return Answer(
                text=(message.get("content") or "").strip(),
                message={"role": "assistant", **message},
                num_prompt_tokens=int(usage.get("prompt_tokens", 0)),
                num_tokens=int(usage.get("completion_tokens", 0)),
                logprob=None,
                finished=choice.get("finish_reason") != "length",
                latency_s=seconds,
                share_s=seconds / _AT_ONCE,
            )
        except (KeyError, IndexError, TypeError) as error:
            told = json.dumps(reply)[:300]
            raise BackendError(f"{self.endpoint.url} gave no chat completion: {told}") from error


def _messages(question: Question) -> list[Message]:
    """Arguments of tool calls as text, and documents in a system message, as OpenAI's form has."""
    sent = [_sent(message) for message in question.messages]
    if question.documents:
        texts = [
            f"[{n}] {d.get('title', '')}\n{d.get('text', '')}"
            for n, d in enumerate(question.documents, 1)
        ]
        sent.insert(0, {"role": "system", "content": "Documents:\n\n" + "\n\n".join(texts)})
    return sent


def _sent(message: Message) -> Message:
    if not message.get("tool_calls"):
        return message
    calls = [
        {**call, "function": {**call["function"], "arguments": _text(call["function"])}}
        for call in message["tool_calls"]
    ]
    return {**message, "tool_calls": calls}


def _text(function: Mapping[str, Any]) -> str:
    arguments = function.get("arguments") or {}
    return arguments if isinstance(arguments, str) else json.dumps(arguments)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """The key goes to the address that was given, and nowhere else."""

    def redirect_request(self, *arguments: object) -> None:
        return None


def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(_NoRedirects)
