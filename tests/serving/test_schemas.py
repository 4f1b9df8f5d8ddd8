"""``response_format`` by the real client: what comes fits, whole and streamed."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any, Literal

import openai
import pytest
from openai import OpenAI
from scripted import DrawingRuntime, served
from serving_asks import CHAT, ask, client_of

from customize import ChatRenderer
from customize.serving.server import Server

pydantic = pytest.importorskip("pydantic")
jsonschema = pytest.importorskip("jsonschema")
pytest.importorskip("llguidance")


STRICT = {"extra": "forbid"}
Topping: Any = pydantic.create_model(
    "Topping",
    __config__=STRICT,
    name=(Literal["cheese", "olives", "🌶"], ...),
    grams=(Literal[10, 20], ...),
)
# The client makes a schema of it, with definitions.
Order: Any = pydantic.create_model(
    "Order",
    __config__=STRICT,
    dish=(Literal["margherita", "calzone"], ...),
    toppings=(list[Topping], pydantic.Field(max_length=2)),
    paid=(bool, ...),
)


@pytest.fixture
def runtime(renderer: ChatRenderer) -> DrawingRuntime:
    return DrawingRuntime(renderer)


def form(schema: Any) -> Any:
    return {"type": "json_schema", "json_schema": {"name": "order", "schema": schema}}


def test_the_client_gets_the_objects_of_its_own_class(client: OpenAI) -> None:
    for seed in range(6):
        reply = client.chat.completions.parse(**CHAT, response_format=Order, seed=seed)
        assert isinstance(reply.choices[0].message.parsed, Order)
        assert reply.choices[0].finish_reason == "stop"


def test_a_streamed_answer_is_the_same_and_every_choice_fits(client: OpenAI) -> None:
    schema = Order.model_json_schema()
    asked: Any = {**CHAT, "seed": 3, "n": 3, "response_format": form(schema)}
    whole = [choice.message.content for choice in client.chat.completions.create(**asked).choices]
    streamed = ["", "", ""]
    for chunk in client.chat.completions.create(**asked, stream=True):
        for choice in chunk.choices:
            streamed[choice.index] += choice.delta.content or ""
    assert streamed == whole
    for text in whole:
        jsonschema.validate(json.loads(text or ""), schema)


def test_a_json_object_is_one_unless_it_is_cut(client: OpenAI) -> None:
    for seed in range(3):
        reply = client.chat.completions.create(
            **CHAT, seed=seed, temperature=0.7, response_format={"type": "json_object"}
        )
        choice = reply.choices[0]
        assert (choice.message.content or "").startswith("{")
        if choice.finish_reason == "stop":
            assert isinstance(json.loads(choice.message.content or ""), dict)


def test_tools_that_may_be_called_cannot_be_given_beside_a_schema(server: Server) -> None:
    tools = [{"type": "function", "function": {"name": "open"}}]
    asked = {**CHAT, "tools": tools, "response_format": {"type": "json_object"}}
    assert "give one of them" in ask(server, body=asked).error["message"]
    assert ask(server, body={**asked, "tool_choice": "none", "max_tokens": 9}).status == 200


def schemas_that_harm() -> Mapping[str, Any]:
    deep: Any = {"type": "string"}
    for _ in range(40):
        deep = {"type": "array", "items": deep}
    lengths = [{"anyOf": [{"minLength": n}, {"maxLength": n}]} for n in range(30)]
    return {
        "a name that leads nowhere": {"$ref": "#/$defs/none"},
        "no schema": {"type": "sock"},
        "nested": deep,
        "many": {"enum": [f"{n:06}" for n in range(20_000)]},
        "a pattern that explodes": {"type": "string", "pattern": "^((a{0,999}){0,999}){0,999}b$"},
        "looks back": {"type": "string", "pattern": "(?<=a)b"},
        "itself": {"$ref": "#"},
        "all of all": {"allOf": lengths},
    }


def test_a_schema_that_harms_hurts_only_who_gave_it(
    runtime: DrawingRuntime,
) -> None:
    with served(runtime, time_s=20) as server:
        for name, schema in schemas_that_harm().items():
            asked = {**CHAT, "max_tokens": 20, "response_format": form(schema)}
            assert ask(server, body=asked).status in (200, 400), name
            assert ask(server, body={**CHAT, "max_tokens": 3}).status == 200, name


def test_no_address_in_a_schema_is_ever_visited(server: Server) -> None:
    schema = {"$ref": f"{server.url}/models"}
    before = ask(server, "/metrics", method="GET").body
    assert ask(server, body={**CHAT, "response_format": form(schema)}).status == 400
    after = ask(server, "/metrics", method="GET").body
    visits = b'requests_total{route="/v1/models",'
    assert (visits in before, visits in after) == (False, False)


def test_what_is_not_installed_is_told_to_who_asked(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "llguidance", None)
    with (
        client_of(server) as client,
        pytest.raises(openai.BadRequestError, match="pip install 'customize"),
    ):
        client.chat.completions.create(**CHAT, response_format={"type": "json_object"})


LETTERS = "abcdefghijklmnopqrstuvwxyz"


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "integer", "multipleOf": 99999989},
        {"allOf": [{"type": "string", "pattern": f".*{letter}.*"} for letter in LETTERS]},
    ],
    ids=["multipleOf", "patterns"],
)
def test_a_schema_that_takes_all_time_or_memory_is_refused_and_others_are_answered(
    server: Server, schema: Any
) -> None:
    answered = ask(server, body={**CHAT, "response_format": form(schema)})
    assert answered.status == 400
    assert "this schema takes more than 2 s or 512 MiB" in answered.error["message"]
    asked = {**CHAT, "response_format": form({"enum": ["yes", "no"]})}
    assert ask(server, body=asked).status == 200
