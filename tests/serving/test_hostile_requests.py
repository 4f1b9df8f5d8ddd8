"""Requests that mean harm, or come from a broken client: cleanly refused, and the server lives."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Iterator

import pytest
from scripted import ScriptedRuntime, echo, served
from serving_asks import CHAT, address_of, ask, connect, head_of, read, soon

from customize.serving.server import Server

JSON = {"Host": "127.0.0.1", "Content-Type": "application/json"}
PATH = "/v1/chat/completions"


@pytest.fixture(autouse=True)
def lives(server: Server, runtime: ScriptedRuntime) -> Iterator[None]:
    """Whatever was sent, the next one is answered."""
    yield
    runtime.script, runtime.delay_s = echo, 0.0
    assert ask(server, body=CHAT).status == 200


def test_a_body_that_says_it_is_too_long_is_not_read(server: Server) -> None:
    with connect(server) as wire:
        wire.sendall(head_of("POST", PATH, {**JSON, "Content-Length": str(10**9)}))
        answered = read(wire)  # although not a byte of the body was sent
    assert answered.status == 413
    assert answered.error["message"] == "the body may have 1048576 bytes at most"


def test_a_body_in_chunks_is_cut_off_where_it_is_too_long(server: Server) -> None:
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    sent = 0
    with connect(server) as wire:
        wire.sendall(head_of("POST", PATH, {**JSON, "Transfer-Encoding": "chunked"}))
        try:
            while sent < 2**30:
                wire.sendall(chunk)
                sent += 65536
        except OSError:  # the server closed the connection
            pass
    assert sent < 2**25  # what the sockets hold between them, of 1 GB


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"", "not JSON"),
        (b"nonsense", "not JSON"),
        (b"[]", "not an object"),
        (b'"text"', "not an object"),
        (b'{"model": "mine", "model": "mine"}', "duplicate key"),
        (b'{"model": "\\ud800"}', "lone surrogate"),
        (b'{"model": "a\\u0000b"}', "NUL character"),
        (b"\xff\xfe{}", "not UTF-8"),
        (b'{"temperature": NaN}', "number is not finite"),
        (b'{"temperature": -Infinity}', "number is not finite"),
        (b'{"temperature": 1e999}', "number is not finite"),
        (b'{"seed": ' + b"9" * 5000 + b"}", "not JSON"),
        (b'{"messages": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
        (b'{"tools": ' + b'{"a":' * 200 + b"1" + b"}" * 201, "nested too deeply"),
    ],
)
def test_what_is_no_strict_json_is_refused(server: Server, raw: bytes, told: str) -> None:
    answered = ask(server, raw=raw)
    assert answered.status == 400
    assert f"the body cannot be read: {told}" in answered.error["message"]


@pytest.mark.parametrize("field", ["n", "max_tokens", "seed", "temperature", "top_p"])
@pytest.mark.parametrize("value", [-1, -(2**63), 2**63, 10**300, 1e300, [], {}, "1", True])
def test_numbers_out_of_all_bounds_are_refused(server: Server, field: str, value: object) -> None:
    assert ask(server, body={**CHAT, field: value}).status == 400


def test_a_query_string_is_refused(server: Server) -> None:
    assert ask(server, f"{PATH}?model=mine", body=CHAT).status == 400


def test_no_address_in_a_request_is_ever_visited(server: Server) -> None:
    picture = {"type": "image_url", "image_url": {"url": f"{server.url}/models"}}
    before = ask(server, "/metrics", method="GET").body
    asked = {**CHAT, "messages": [{"role": "user", "content": [picture]}]}
    assert ask(server, body=asked).status == 400
    after = ask(server, "/metrics", method="GET").body
    visits = b'requests_total{route="/v1/models",'
    assert (visits in before, visits in after) == (False, False)


def test_what_is_no_http_is_refused(server: Server) -> None:
    for sent in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", b"GET\r\n\r\n", b"A" * 100_000):
        with connect(server) as wire:
            wire.sendall(sent)
            assert read(wire).status == 400


def test_two_lengths_are_refused(server: Server) -> None:
    given = {**JSON, "Content-Length": "5", "content-length": "6"}
    with connect(server) as wire:
        wire.sendall(head_of("POST", PATH, given) + b"{}   ")
        assert read(wire).status == 400


def test_an_upgrade_leads_nowhere(server: Server) -> None:
    asked = ask(
        server, "/v1/models", method="GET", Connection="Upgrade, close", Upgrade="websocket"
    )
    assert asked.status == 200


def test_a_body_that_comes_too_slowly_is_refused(runtime: ScriptedRuntime) -> None:
    with served(runtime, body_time_s=0.3) as server, connect(server) as wire:
        wire.sendall(head_of("POST", PATH, {**JSON, "Content-Length": "100"}) + b"{")
        assert read(wire).status == 408


@pytest.mark.parametrize(
    "sent",
    [
        b"",  # nothing at all
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\n",  # half a head
        # A whole request that is answered at once, with the most of a body still to come.
        b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000000\r\n\r\n",
    ],
    ids=["nothing", "half a head", "a body nobody reads"],
)
def test_who_sends_no_whole_request_is_dropped_however_it_drips(
    runtime: ScriptedRuntime, sent: bytes
) -> None:
    with served(runtime, head_time_s=0.5) as server, connect(server) as wire:
        wire.sendall(sent)
        try:
            while True:
                wire.sendall(b"X" if sent else b"")
                time.sleep(0.05)
                wire.settimeout(0.05)
                try:
                    if not wire.recv(65536):
                        break
                except TimeoutError:
                    wire.settimeout(20)
        except ConnectionError:
            pass
        assert ask(server, body=CHAT).status == 200


def test_a_slow_head_after_an_answer_is_dropped_too(runtime: ScriptedRuntime) -> None:
    with served(runtime, head_time_s=0.5) as server, connect(server) as wire:
        wire.sendall(head_of("GET", "/health", JSON))
        answered = b""
        while not answered.endswith(b'{"status":"ok"}'):
            answered += wire.recv(65536)
        wire.sendall(b"GET /hea")
        with contextlib.suppress(ConnectionResetError):
            assert wire.recv(65536) == b""


def test_who_takes_nothing_of_a_long_answer_is_dropped(runtime: ScriptedRuntime) -> None:
    runtime.script = lambda prompt: "x" * 3000
    asked = {**CHAT, "stream": True, "n": 4, "logprobs": True, "top_logprobs": 3}
    body = json.dumps({**asked, "max_tokens": 3000}).encode()
    patient = served(runtime, max_tokens=3000, read_time_s=0.5)
    with patient as server, socket.socket() as wire:
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        wire.connect(address_of(server))
        wire.sendall(head_of("POST", PATH, {**JSON, "Content-Length": str(len(body))}) + body)
        assert soon(lambda: len(runtime.queries) == 4 and runtime.now == 0, 20)
        assert soon(lambda: connections_of(server) == 0, 20)


def connections_of(server: Server) -> int:
    return len(server._uvicorn.server_state.connections)


def test_who_leaves_before_the_answer_frees_the_slot(
    server: Server, runtime: ScriptedRuntime
) -> None:
    for stream in (False, True):
        runtime.free.clear()
        body = json.dumps({**CHAT, "stream": stream}).encode()
        with connect(server) as wire:
            wire.sendall(head_of("POST", PATH, {**JSON, "Content-Length": str(len(body))}) + body)
            assert soon(lambda: runtime.now == 1)
        assert soon(lambda: runtime.now == 0), "its answer goes on although nobody listens"
        runtime.free.set()


def test_who_leaves_in_the_middle_of_an_answer_frees_the_slot(
    server: Server, runtime: ScriptedRuntime
) -> None:
    runtime.script = lambda prompt: "word " * 150
    runtime.delay_s = 0.02
    body = json.dumps({**CHAT, "stream": True}).encode()
    with connect(server) as wire:
        wire.sendall(head_of("POST", PATH, {**JSON, "Content-Length": str(len(body))}) + body)
        assert b"200 OK" in wire.recv(4096)
    assert soon(lambda: runtime.now == 0, 3.0)


def test_who_leaves_the_queue_leaves_no_gap(runtime: ScriptedRuntime) -> None:
    runtime.slots = 1
    body = json.dumps(CHAT).encode()
    sent = head_of("POST", PATH, {**JSON, "Content-Length": str(len(body))}) + body
    with served(runtime, queue=1) as server:
        runtime.free.clear()
        with connect(server) as first:
            first.sendall(sent)
            assert soon(lambda: runtime.now == 1)
            with connect(server) as second:
                second.sendall(sent)
                assert soon(lambda: ask(server, body=CHAT).status == 429)
            assert soon(lambda: b'waiting"} 0' in ask(server, "/metrics", method="GET").body)
            runtime.free.set()
        assert ask(server, body=CHAT).status == 200


def test_a_slow_reader_holds_no_slot(runtime: ScriptedRuntime) -> None:
    runtime.script = lambda prompt: "x" * 1000
    runtime.slots = 1
    body = json.dumps({**CHAT, "stream": True, "n": 4, "logprobs": True, "top_logprobs": 3})
    head = head_of("POST", PATH, {**JSON, "Content-Length": str(len(body))})
    with served(runtime, time_s=30) as server, connect(server) as wire:
        wire.sendall(head + body.encode())  # and not a byte of the answer is read
        assert soon(lambda: len(runtime.queries) == 4 and runtime.now == 0, 30)
        assert ask(server, body=CHAT).status == 200


def test_an_answer_that_takes_too_long_is_ended(runtime: ScriptedRuntime) -> None:
    runtime.delay_s = 0.05
    runtime.script = lambda prompt: "word " * 150
    with served(runtime, time_s=0.4) as server:
        answered = ask(server, body=CHAT)
        assert (answered.status, answered.error["code"]) == (504, "timeout")
        streamed = ask(server, body={**CHAT, "stream": True}).body.decode()
        assert '"code": "timeout"' in streamed.split("data: ")[-1]
        assert "[DONE]" not in streamed
        assert soon(lambda: runtime.now == 0)
