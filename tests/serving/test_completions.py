"""/v1/completions by the real client: texts and tokens, as they are."""

from __future__ import annotations

from typing import Any

import pytest
from openai import OpenAI
from scripted import ScriptedRuntime
from serving_asks import ask

from customize.serving.server import Server


@pytest.fixture(autouse=True)
def script(runtime: ScriptedRuntime) -> None:
    runtime.script = lambda prompt: f" after {prompt}"


def complete(client: OpenAI, **more: Any) -> Any:
    return client.completions.create(**{"model": "mine", "prompt": "eins", **more})


def test_a_text_goes_on_as_it_is(client: OpenAI, runtime: ScriptedRuntime) -> None:
    reply = complete(client)
    assert reply.object == "text_completion"
    assert reply.choices[0].text == " after eins"
    assert reply.choices[0].finish_reason == "stop"
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (4, 12)
    assert runtime.queries[0].tokens.tolist() == list(runtime.renderer.encode_text("eins"))  # type: ignore[attr-defined]


def test_control_tokens_in_a_text_are_text(client: OpenAI, runtime: ScriptedRuntime) -> None:
    complete(client, prompt="<|end|>")
    assert len(runtime.queries[0].tokens) == len("<|end|>")


def test_streamed_it_is_the_same(client: OpenAI) -> None:
    chunks = list(complete(client, prompt="zwölf", stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == " after zwölf"
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_tokens_are_taken_as_they_are(client: OpenAI, runtime: ScriptedRuntime) -> None:
    complete(client, prompt=[65, 66, 67])
    assert runtime.queries[0].tokens.tolist() == [65, 66, 67]


def test_several_prompts_have_their_choices_side_by_side(client: OpenAI) -> None:
    reply = complete(client, prompt=["a", "bc"], n=2)
    assert [choice.text for choice in reply.choices] == [" after a"] * 2 + [" after bc"] * 2
    assert reply.usage.prompt_tokens == 3


def test_logprobs_have_the_old_form(client: OpenAI) -> None:
    told = complete(client, logprobs=1, max_tokens=3).choices[0].logprobs
    assert told.tokens == [" ", "a", "f"]
    assert told.text_offset == [0, 1, 2]
    assert [list(top) for top in told.top_logprobs] == [[" "], ["a"], ["f"]]
    assert all(logprob < 0 for logprob in told.token_logprobs)
    chunks = complete(client, logprobs=1, max_tokens=3, stream=True)
    assert [o for c in chunks for o in c.choices[0].logprobs.text_offset] == [0, 1, 2]


@pytest.mark.parametrize(
    "prompt", [None, "", [], [[]], [""], [1.5], [-1], [256], [2**63], {}, ["a"] * 17]
)
def test_what_is_no_prompt_is_refused(server: Server, prompt: object) -> None:
    answered = ask(server, "/v1/completions", {"model": "mine", "prompt": prompt})
    assert answered.status == 400
    assert answered.error["param"] == "prompt"


def test_what_only_chat_has_is_refused(server: Server) -> None:
    asked = {"model": "mine", "prompt": "x"}
    for field, value in (("messages", []), ("tools", []), ("echo", True), ("best_of", 2)):
        assert ask(server, "/v1/completions", {**asked, field: value}).status == 400
