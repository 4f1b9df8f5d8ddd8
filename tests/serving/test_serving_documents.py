"""Chats that are answered from documents: retrieval is within, and sees what the asker may see."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from typing import Any

import pytest
from openai import OpenAI
from scripted import ScriptedRuntime
from serving_asks import ask, client_of

import customize
from customize import ChatRenderer, Grounding, OptionError
from customize.retrieval.library import Library
from customize.runs.serving import askers_from
from customize.serving.address import Address
from customize.serving.limits import Limits
from customize.serving.menu import Offer
from customize.serving.server import Server

DOCS: list[dict[str, Any]] = [
    {"id": "hours", "title": "Hours", "text": "# Hours\n\nThe shop opens at nine."},
    {"id": "phone", "title": "Phone", "text": "# Phone\n\nCall the shop on 1234567."},
    {"id": "staff", "text": "The shop's alarm has the code 4711.", "tags": ["staff"]},
]
STAFF, GUEST = "staff-" + "s" * 16, "guest-" + "g" * 16
WHEN = "The shop opens at what time?"


def quoting(prompt: str) -> str:
    """Quotes a passage that tells of opening, as a model that was taught would."""
    for place in (1, 2):
        if f"[{place}] Hours: The shop opens at nine." in prompt:
            return f'"The shop opens at nine" [{place}]\nnine'
    return "The documents do not say."


@pytest.fixture
def runtime(renderer: ChatRenderer) -> ScriptedRuntime:
    return ScriptedRuntime(renderer, quoting, adapters=("plain",))


@contextmanager
def serving(runtime: ScriptedRuntime, askers: Mapping[str, Set[str]] = {}) -> Iterator[Server]:
    library = Library(customize.index_of(customize.read(DOCS)), Grounding(k=2))
    offers = [Offer("mine", runtime, None, library), Offer("plain", runtime, "plain")]
    with Server(offers, Limits(), Address.take(port=0, askers=askers)) as server:
        yield server


@pytest.fixture
def server(runtime: ScriptedRuntime) -> Iterator[Server]:
    with serving(runtime) as made:
        yield made


def chat(client: OpenAI, *texts: str, **more: Any) -> Any:
    """The reply to texts that user and assistant say in turn."""
    roles = ("user", "assistant")
    messages: Any = [{"role": roles[n % 2], "content": text} for n, text in enumerate(texts)]
    return client.chat.completions.create(model="mine", messages=messages, **more)


def test_the_answer_is_the_models_own_and_says_beside_what_it_rests_on(client: OpenAI) -> None:
    [choice] = chat(client, WHEN).choices
    assert choice.message.content == '"The shop opens at nine" [1]\nnine'
    text = DOCS[0]["text"]
    start = text.index("The shop")
    assert choice.grounding == {
        "text": "nine",
        "abstained": False,
        "citations": [
            {
                "document": "hours",
                "span": [start, start + len("The shop opens at nine")],
                "quote": "The shop opens at nine",
                "place": 1,
            }
        ],
    }


def test_a_stream_tells_it_with_its_end(client: OpenAI) -> None:
    whole = chat(client, WHEN).choices[0]
    chunks = [chunk.choices[0] for chunk in chat(client, WHEN, stream=True)]
    assert "".join(one.delta.content or "" for one in chunks) == whole.message.content
    told = [getattr(one, "grounding", None) for one in chunks]
    assert told == [*[None] * (len(chunks) - 1), whole.grounding]


def test_silence_is_told(client: OpenAI) -> None:
    [choice] = chat(client, "zeppelin?").choices
    told = {"text": "The documents do not say.", "abstained": True, "citations": []}
    assert choice.grounding == told


def test_the_model_is_asked_as_the_run_asks_it(client: OpenAI, runtime: ScriptedRuntime) -> None:
    library = Library(customize.index_of(customize.read(DOCS)), Grounding(k=2))
    shown = [hit.chunk for hit in library.hits(WHEN)]
    chat(client, WHEN)
    [query] = runtime.queries
    asked = runtime.renderer.prompt(library.grounding.messages(WHEN, shown))
    assert query.tokens.tolist() == asked.tolist()
    assert query.sampling.temperature == 0  # the likeliest, unless another is asked for
    chat(client, WHEN, temperature=0.5)
    assert runtime.queries[1].sampling.temperature == 0.5


def test_what_was_said_before_is_kept_and_the_last_question_is_searched(
    client: OpenAI, runtime: ScriptedRuntime
) -> None:
    chat(client, "zeppelin", "None here.", WHEN)
    [prompt] = runtime.prompts
    assert prompt.index("zeppelin") < prompt.index("None here.") < prompt.index("[1] Hours")
    assert prompt.count("[1]") == 1


def test_another_name_of_the_runtime_is_asked_without_documents(
    server: Server, runtime: ScriptedRuntime
) -> None:
    with client_of(server) as client:
        messages: Any = [{"role": "user", "content": WHEN}]
        [choice] = client.chat.completions.create(model="plain", messages=messages).choices
    assert not hasattr(choice, "grounding")
    assert "opens at nine" not in runtime.prompts[0]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("key", "sees"), [(STAFF, True), (GUEST, False)])
def test_what_an_asker_may_not_see_is_not_retrieved(
    runtime: ScriptedRuntime, key: str, sees: bool, stream: bool
) -> None:
    askers = {STAFF: frozenset({"staff"}), GUEST: frozenset[str]()}
    with serving(runtime, askers) as server, client_of(server, key) as client:
        reply = chat(client, "Which code has the shop's alarm?", stream=stream)
        if stream:
            list(reply)
    assert ("4711" in runtime.prompts[0]) == sees


def test_without_tokens_an_asker_sees_what_everyone_may_see(
    client: OpenAI, runtime: ScriptedRuntime
) -> None:
    chat(client, "Which code has the shop's alarm?")
    assert "4711" not in runtime.prompts[0]


def test_tags_are_the_tokens_and_cannot_be_asked_for(runtime: ScriptedRuntime) -> None:
    body = {"model": "mine", "messages": [{"role": "user", "content": "alarm code"}]}
    with serving(runtime, {STAFF: frozenset({"staff"})}) as server:
        assert ask(server, body=body, Authorization=f"Bearer {GUEST}").status == 401
        assert ask(server, body=body).status == 401
    with serving(runtime) as server:
        refused = ask(server, body={**body, "tags": ["staff"]})
        assert (refused.status, refused.error["param"]) == (400, "tags")
    assert not runtime.prompts


def test_tokens_and_their_tags_are_read_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("STAFF_TOKEN", STAFF)
    assert askers_from(["STAFF_TOKEN=staff,hr"]) == {STAFF: {"staff", "hr"}}
    for wrong, told in (
        ("STAFF_TOKEN", "VARIABLE=TAG,TAG"),
        ("STAFF_TOKEN=", "VARIABLE=TAG,TAG"),
        ("NOBODY_SET_THIS=hr", "NOBODY_SET_THIS holds no token"),
    ):
        with pytest.raises(OptionError, match=told):
            askers_from([wrong])
    with pytest.raises(OptionError, match="16 ASCII characters or more"):
        Address.take(port=0, askers={"short": frozenset({"hr"})})


def test_two_askers_of_one_token_are_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAFF_TOKEN", STAFF)
    monkeypatch.setenv("GUEST_TOKEN", STAFF)
    with pytest.raises(OptionError, match="STAFF_TOKEN and GUEST_TOKEN hold one token") as told:
        askers_from(["STAFF_TOKEN=staff", "GUEST_TOKEN=guests"])
    assert STAFF not in str(told.value)
    monkeypatch.setenv("GUEST_TOKEN", GUEST)
    both = askers_from(["STAFF_TOKEN=staff", "GUEST_TOKEN=guests"])
    assert both == {STAFF: {"staff"}, GUEST: {"guests"}}


def test_a_token_without_tags_is_no_askers() -> None:
    with pytest.raises(OptionError, match="the token of --token-from is also an asker's") as told:
        Address.take(port=0, token=STAFF, askers={STAFF: frozenset({"staff"})})
    assert STAFF not in str(told.value)


TOOL = {"type": "function", "function": {"name": "look"}}


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"tools": [TOOL]}, "tools"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"messages": [{"role": "system", "content": "Be kind."}]}, "messages"),
        (
            {
                "messages": [
                    {"role": "user", "content": WHEN},
                    {"role": "assistant", "content": "At"},
                ]
            },
            "messages",
        ),
    ],
)
def test_what_answers_from_documents_cannot_do_is_refused(
    server: Server, more: dict[str, Any], param: str
) -> None:
    body = {"model": "mine", "messages": [{"role": "user", "content": WHEN}], **more}
    refused = ask(server, body=body)
    assert (refused.status, refused.error["param"]) == (400, param)


def test_passages_that_the_model_cannot_hold_are_told(renderer: ChatRenderer) -> None:
    body = {"model": "mine", "messages": [{"role": "user", "content": WHEN}]}
    with serving(ScriptedRuntime(renderer, context=64)) as server:
        refused = ask(server, body=body)
    assert (refused.status, refused.error["code"]) == (400, "context_length_exceeded")
