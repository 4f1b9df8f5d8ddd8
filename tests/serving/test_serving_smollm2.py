"""A real model behind the real client: what it says in process it says over the wire."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from openai import OpenAI
from serving_asks import client_of

import customize
from customize.runs.serving import offers_of
from customize.serving.address import Address
from customize.serving.limits import Limits
from customize.serving.server import Server

pytest.importorskip("customize_torch")
pytest.importorskip("customize_smollm2")
pytestmark = pytest.mark.slow

QUESTIONS = ["Say pizza 🍕 and café.", "What is 12 + 30?"]


@pytest.fixture(scope="module")
def client() -> Iterator[OpenAI]:
    offers = offers_of(["smollm2"])
    with Server(offers, Limits(), Address.take(port=0)) as server, client_of(server) as made:
        yield made.with_options(timeout=300)


def test_answers_are_those_of_the_run_whole_and_streamed(client: OpenAI) -> None:
    bot = customize.open("smollm2")
    for question in QUESTIONS:
        wanted = bot.reply(question, max_tokens=12)
        asked: Any = {
            "model": "smollm2",
            "messages": [{"role": "user", "content": question}],
            "max_tokens": 12,
            "temperature": 0,
        }
        reply = client.chat.completions.create(**asked)
        assert reply.choices[0].message.content == wanted
        chunks = client.chat.completions.create(**asked, stream=True)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == wanted


def test_logprobs_are_those_of_the_model(client: OpenAI) -> None:
    reply = client.chat.completions.create(
        model="smollm2",
        messages=[{"role": "user", "content": QUESTIONS[0]}],
        max_tokens=6,
        temperature=0,
        logprobs=True,
        top_logprobs=2,
    )
    told = reply.choices[0].logprobs
    assert told is not None
    assert "".join(one.token for one in told.content).strip() == reply.choices[0].message.content
    for one in told.content:
        assert one.top_logprobs[0].token == one.token
        # In 16 bits two tokens may be equally likely.
        assert one.top_logprobs[0].logprob == one.logprob >= one.top_logprobs[1].logprob
