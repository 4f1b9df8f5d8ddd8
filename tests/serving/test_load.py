"""More asked than can be answered: what has a place is answered, the rest is told to come again."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest
from openai import OpenAI
from prometheus_client.parser import text_string_to_metric_families
from scripted import ScriptedRuntime, served
from serving_asks import CHAT, ask, client_of, soon

from customize import OptionError
from customize.serving.limits import Limits
from customize.serving.menu import Menu, Offer
from customize.serving.server import Server

ANSWERED, SENT_AWAY = (200, None, None), (429, "queue_full", "1")


def outcome(client: OpenAI) -> tuple[int, str | None, str | None]:
    """Status, the error's code and after how many seconds to try again."""
    try:
        client.chat.completions.create(**CHAT)
    except openai.RateLimitError as error:
        return error.status_code, error.code, error.response.headers.get("retry-after")
    return ANSWERED


def ask_at_once(server: Server, number: int) -> None:
    with client_of(server) as client, ThreadPoolExecutor(number) as pool:
        assert set(pool.map(lambda _: outcome(client), range(number))) == {ANSWERED}


def test_at_four_times_what_fits_there_are_answers_and_clean_429s(
    runtime: ScriptedRuntime,
) -> None:
    runtime.slots, fits = 2, 8
    with served(runtime, queue=6) as server, client_of(server) as client:
        runtime.free.clear()
        with ThreadPoolExecutor(4 * fits) as pool:
            asked = [pool.submit(outcome, client) for _ in range(4 * fits)]
            assert soon(lambda: sum(one.done() for one in asked) == 3 * fits)
            runtime.free.set()
            outcomes = Counter(one.result() for one in asked)
    assert outcomes == {ANSWERED: fits, SENT_AWAY: 3 * fits}
    assert runtime.most == 2
    assert len(runtime.queries) == fits


def test_answers_are_given_side_by_side(runtime: ScriptedRuntime) -> None:
    runtime.delay_s = 0.02
    with served(runtime) as server, client_of(server) as client, ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda _: outcome(client), range(4))) == {ANSWERED}
    assert runtime.most == 4


def test_fewer_slots_than_the_runtime_has_are_kept_to(runtime: ScriptedRuntime) -> None:
    with served(runtime, slots=1) as server:
        ask_at_once(server, 4)
    assert runtime.most == 1


def test_more_slots_than_any_runtime_has_are_refused_with_their_number(
    runtime: ScriptedRuntime,
) -> None:
    with pytest.raises(OptionError, match=r"slots must be at most 4 \(got 32\)"):
        Menu([Offer("mine", runtime)], Limits(slots=32))
    other = ScriptedRuntime(runtime.renderer, slots=32)  # type: ignore[arg-type]
    menu = Menu([Offer("mine", runtime), Offer("other", other)], Limits(slots=32))
    assert [desk.slots for desk in menu.desks] == [4, 32]
    menu.close()


def test_choices_take_a_place_each(runtime: ScriptedRuntime) -> None:
    runtime.slots = 2
    with served(runtime, queue=1) as server:
        assert ask(server, body={**CHAT, "n": 3}).status == 200
        answered = ask(server, body={**CHAT, "n": 4})
        assert answered.status == 400
        assert "takes 3 answers at once, not 4" in answered.error["message"]


def test_adapters_of_one_runtime_share_its_queue(runtime: ScriptedRuntime) -> None:
    runtime.adapters = ("ours", "theirs")
    with served(runtime) as server, client_of(server) as client:
        assert [model.id for model in client.models.list()] == ["mine", "ours", "theirs"]
        for name in ("theirs", "mine", "ours"):
            client.chat.completions.create(**{**CHAT, "model": name})
        assert [query.adapter for query in runtime.queries] == ["theirs", None, "ours"]
    assert runtime.closed


def test_the_metrics_count(runtime: ScriptedRuntime) -> None:
    with served(runtime) as server:
        ask(server, body=CHAT)
        ask(server, body={**CHAT, "max_tokens": 3, "n": 2})
        ask(server, body={**CHAT, "model": "yours"})
        ask(server, "/nowhere", method="GET")
        told = ask(server, "/metrics", method="GET").body.decode()
    drawn = len("You said: Hello") + 1 + 2 * 3
    for line in (
        'customize_requests_total{route="/v1/chat/completions",status="200"} 2',
        'customize_requests_total{route="/v1/chat/completions",status="404"} 1',
        'customize_requests_total{route="other",status="404"} 1',
        f'customize_tokens_total{{model="mine"}} {drawn}',
        'customize_answers{state="answering"} 0',
        'customize_first_token_seconds_bucket{model="mine",le="+Inf"} 2',
        'customize_first_token_seconds_count{model="mine"} 2',
    ):
        assert line in told.splitlines()
    read = sum(len(query.tokens) for query in runtime.queries[:2])
    assert f'customize_prompt_tokens_total{{model="mine"}} {read}' in told.splitlines()


def test_the_metrics_are_in_prometheus_form(runtime: ScriptedRuntime) -> None:
    with served(runtime) as server:
        ask(server, body=CHAT)
        told = ask(server, "/metrics", method="GET").body.decode()
    families = {f.name: f for f in text_string_to_metric_families(told)}
    assert families["customize_first_token_seconds"].type == "histogram"
    assert families["customize_requests"].type == "counter"
