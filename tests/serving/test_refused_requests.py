"""What a request must not hold: each field is refused by name, none is ignored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import openai
import pytest
from openai import OpenAI
from scripted import ScriptedRuntime, served
from serving_asks import CHAT, ask

from customize import DataError
from customize.serving.server import Server

TOOL: Mapping[str, Any] = {"type": "function", "function": {"name": "open"}}
HUGE = 2**63


def refused(server: Server, field: str, value: object) -> str:
    answered = ask(server, body={**CHAT, field: value})
    assert answered.status == 400, (field, value, answered.body)
    assert answered.error["type"] == "invalid_request_error"
    return str(answered.error["message"])


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("max_token", 3, "max_token is not a field that this server knows; did you mean 'max_tok"),
        ("chat_template", "{{ 1 }}", "chat_template is not a field that this server knows"),
        ("frequency_penalty", 0.5, "frequency_penalty is not supported by this server: leave it"),
        ("logit_bias", {"5": 100}, "logit_bias is not supported"),
        ("user", "someone", "user is not supported"),
        ("store", True, "store is not supported by this server: leave it out or give false"),
        ("n", 0, "n must be 1 to 16"),
        ("n", 2.5, "n must be a whole number"),
        ("n", True, "n must be a whole number"),
        ("max_tokens", -1, "max_tokens must be 1 to 1024"),
        ("max_tokens", HUGE, "max_tokens must be 1 to 1024"),
        ("seed", -1, f"seed must be 0 to {HUGE - 1}"),
        ("seed", HUGE, f"seed must be 0 to {HUGE - 1}"),
        ("temperature", -0.1, "temperature must be 0 to 2"),
        ("temperature", 1e-300, "temperature must be 0, or at least 0.01"),
        ("temperature", "hot", "temperature must be a number, not a string"),
        ("top_p", 0, "top_p must be more than 0"),
        ("top_p", 1.5, "top_p must be 0 to 1"),
        ("top_logprobs", 2, 'top_logprobs needs "logprobs": true'),
        ("stream", "yes", "stream must be true or false, not a string"),
        ("stream_options", {"include_usage": True}, 'stream_options needs "stream": true'),
        ("stop", "", "stop must be a text, or a list of texts, none of them empty"),
        ("stop", [1], "stop must be a text"),
        ("stop", ["a"] * 17, "stop may hold 16 texts at most"),
        ("tool_choice", "auto", "tool_choice needs tools"),
        ("tools", [{"type": "web_search"}], "tools[0].type must be 'function'"),
        ("tools", [{"type": "function"}], "tools[0].function is missing"),
        ("tools", [TOOL] * 129, "tools may hold 128 at most"),
        (
            "tools",
            [{"type": "function", "function": {"name": "open", "strict": True}}],
            "tools[0].function.strict is not supported",
        ),
        (
            "response_format",
            {"type": "json_object"},
            "cannot hold an answer to a schema: runs,",
        ),
        ("response_format", {"type": "yaml"}, "response_format.type must be 'text', 'json_object'"),
        ("response_format", {}, "response_format.type must be 'text', 'json_object'"),
        ("response_format", {"type": "json_schema"}, "response_format.json_schema is missing"),
        (
            "response_format",
            {"type": "json_schema", "json_schema": {"schema": {}}},
            "response_format.json_schema.name is missing",
        ),
        (
            "response_format",
            {"type": "json_schema", "json_schema": {"name": "x"}},
            "response_format.json_schema.schema is missing",
        ),
        (
            "response_format",
            {"type": "json_schema", "json_schema": {"name": "x", "schema": []}},
            "response_format.json_schema.schema must be an object, not a list",
        ),
        (
            "response_format",
            {"type": "json_schema", "json_schema": {"name": "x", "schema": {}, "url": "http://x"}},
            "response_format.json_schema.url is not a field",
        ),
        ("response_format", "text", "response_format must be an object, not a string"),
        ("messages", [], "no messages"),
        ("messages", "Hello", "messages must be a list of messages"),
        (
            "messages",
            [{"role": "user", "content": [{"type": "text", "text": "x", "cache_control": {}}]}],
            "messages[0].content[0].cache_control is not a field",
        ),
        ("x" * 100_000, 1, "x" * 80 + " is not a field"),
        ("messages", [{"role": "wizard", "content": "x"}], "unknown role"),
        ("messages", [{"role": "user", "content": "x", "train": True}], "messages[0].train is not"),
        ("messages", [{"role": "user", "content": "x", "audio": {"id": "1"}}], "messages[0].audio"),
        (
            "messages",
            [
                {
                    "role": "user",
                    "content": [{"type": "image_url", "image_url": {"url": "http://127.0.0.1"}}],
                }
            ],
            "only text is read",
        ),
        ("model", None, "model is missing; served here: mine"),
    ],
)
def test_a_field_is_refused_by_name(server: Server, field: str, value: object, told: str) -> None:
    assert told in refused(server, field, value)


def test_nothing_that_is_refused_reaches_the_runtime(
    server: Server, runtime: ScriptedRuntime
) -> None:
    refused(server, "max_token", 3)
    refused(server, "tool_choice", "auto")
    assert runtime.queries == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("frequency_penalty", 0),
        ("presence_penalty", 0.0),
        ("logit_bias", {}),
        ("store", False),
        ("service_tier", "auto"),
        ("parallel_tool_calls", True),
        ("response_format", {"type": "text"}),
        ("anything_at_all", None),
    ],
)
def test_what_asks_for_nothing_is_let_through(server: Server, field: str, value: object) -> None:
    assert ask(server, body={**CHAT, field: value}).status == 200


def test_a_forced_call_is_refused(server: Server) -> None:
    for choice in ("required", {"type": "function", "function": {"name": "open"}}):
        answered = ask(server, body={**CHAT, "tools": [TOOL], "tool_choice": choice})
        assert "a call cannot be forced here" in answered.error["message"]


def test_the_client_raises_typed_errors(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="n must be") as refused:
        client.chat.completions.create(**{**CHAT, "n": 99})
    assert refused.value.param == "n"
    with pytest.raises(openai.NotFoundError) as missing:
        client.chat.completions.create(**{**CHAT, "model": "yours"})
    assert missing.value.code == "model_not_found"


def test_a_prompt_that_leaves_no_room_is_refused(runtime: ScriptedRuntime) -> None:
    runtime.context = 64
    with served(runtime) as server:
        answered = ask(server, body={**CHAT, "max_tokens": 60})
        assert answered.error["code"] == "context_length_exceeded"
        assert "more than the 64 that mine can hold" in answered.error["message"]
        assert ask(server, body={**CHAT, "max_tokens": 5}).status == 200
        long = {**CHAT, "messages": [{"role": "user", "content": "x" * 100}]}
        assert ask(server, body=long).error["code"] == "context_length_exceeded"


def test_an_answer_without_a_limit_takes_what_is_left_of_the_context(
    runtime: ScriptedRuntime,
) -> None:
    runtime.context = 64
    with served(runtime) as server:
        ask(server, body=CHAT)
    (query,) = runtime.queries
    assert query.sampling.max_tokens == 64 - len(query.tokens)


def test_what_the_template_refuses_is_a_400_that_says_so(server: Server) -> None:
    messages = [{"role": "user", "content": "x", "name": "Ann"}]
    calls = [{"role": "assistant", "content": "", "tool_calls": [{"type": "function"}]}]
    for given in (messages, calls):
        answered = ask(server, body={**CHAT, "messages": given})
        assert answered.status in (200, 400)
    assert ask(server, body={**CHAT, "messages": calls}).status == 400


def test_a_failing_runtime_is_a_500_that_tells_nothing_of_it(
    server: Server, runtime: ScriptedRuntime, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(prompt: str) -> str:
        raise RuntimeError("secret")

    runtime.script = broken
    answered = ask(server, body=CHAT)
    assert answered.status == 500
    assert "secret" not in answered.body.decode()
    assert "secret" in caplog.text
    assert ask(server, body={**CHAT, "stream": True}).status == 500
    told = ask(server, "/metrics", method="GET").body.decode()
    assert 'requests_total{route="/v1/chat/completions",status="500"} 2' in told


def test_what_the_runtime_refuses_is_a_400_that_says_so(
    server: Server, runtime: ScriptedRuntime
) -> None:
    def refuse(prompt: str) -> str:
        raise DataError("tokens must be 0 to 255")

    runtime.script = refuse
    answered = ask(server, body=CHAT)
    assert (answered.status, answered.error["message"]) == (400, "tokens must be 0 to 255")
