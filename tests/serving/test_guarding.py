"""Who may ask: a token on every route, and no name but this machine's own."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator

import openai
import pytest
from scripted import ScriptedRuntime, served
from serving_asks import CHAT, ask, client_of
from starlette.routing import Route

from customize import OptionError
from customize.serving.address import Address
from customize.serving.app import make_app
from customize.serving.limits import Limits
from customize.serving.menu import Menu, Offer
from customize.serving.server import Server

TOKEN = "a-token-that-nobody-guesses"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "BREW")


def every_path(runtime: ScriptedRuntime) -> Iterator[str]:
    """Of every route there is, and of none."""
    app = make_app(Menu([Offer("mine", runtime)], Limits()), Limits())
    for route in app.routes:
        assert isinstance(route, Route), f"{route} is of a kind that this test does not know"
        yield route.path.replace("{name:path}", "mine")
    yield from ("/", "/docs", "/v1", "/v1/chat/completions/", "//health", "/%2e%2e/etc/passwd")


@pytest.fixture
def guarded(runtime: ScriptedRuntime) -> Iterator[Server]:
    with served(runtime, token=TOKEN) as server:
        yield server


def test_every_method_on_every_route_needs_the_token(
    guarded: Server, runtime: ScriptedRuntime
) -> None:
    for path, method in itertools.product(every_path(runtime), METHODS):
        answered = ask(guarded, path, CHAT, method)
        assert answered.status == 401, (method, path)
        if method != "HEAD":
            assert answered.error["code"] == "invalid_api_key"
    assert runtime.queries == []


@pytest.mark.parametrize(
    "given",
    ["", "Bearer", "Bearer ", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}"],
)
def test_a_wrong_token_is_none(guarded: Server, given: str) -> None:
    assert ask(guarded, "/health", method="GET", Authorization=given).status == 401


def test_the_token_opens_every_route(guarded: Server) -> None:
    bearer = f"Bearer {TOKEN}"
    for path in ("/health", "/metrics", "/v1/models", "/v1/models/mine"):
        assert ask(guarded, path, method="GET", Authorization=bearer).status == 200
    assert ask(guarded, body=CHAT, Authorization=bearer).status == 200


def test_the_client_takes_the_token_as_its_key(guarded: Server) -> None:
    with client_of(guarded, TOKEN) as client:
        assert client.chat.completions.create(**CHAT).choices[0].message.content
    with client_of(guarded, "another") as client, pytest.raises(openai.AuthenticationError):
        client.models.list()


def test_every_method_on_every_route_without_a_token_is_answered_cleanly(
    server: Server, runtime: ScriptedRuntime
) -> None:
    right = {
        ("POST", "/v1/chat/completions"),
        *((method, path) for method in ("GET", "HEAD") for path in ("/health", "/metrics")),
        *((method, f"/v1/models{of}") for method in ("GET", "HEAD") for of in ("", "/mine")),
    }
    for path, method in itertools.product(every_path(runtime), METHODS):
        status = ask(server, path, CHAT, method).status
        wanted = (200,) if (method, path) in right else (400, 404, 405)
        assert status in wanted, (method, path, status)


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:8000", "10.0.0.1", ""])
def test_a_name_that_was_made_to_lead_here_is_refused(
    server: Server, runtime: ScriptedRuntime, host: str
) -> None:
    for path in every_path(runtime):
        assert ask(server, path, CHAT, Host=host).status == 403, path
    assert runtime.queries == []


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8000", "localhost:80", "[::1]:8000"])
def test_this_machines_own_names_are_let_through(server: Server, host: str) -> None:
    assert ask(server, "/health", method="GET", Host=host).status == 200


@pytest.mark.skipif(sys.platform != "linux", reason="others have 127.0.0.1 alone")
def test_a_loopback_address_of_ones_own_is_answered_by_its_url(runtime: ScriptedRuntime) -> None:
    address = Address.take("127.0.0.2", 0)
    assert address.url.startswith("http://127.0.0.2:")
    with Server([Offer("mine", runtime)], Limits(), address) as server:
        host = server.url.removeprefix("http://").removesuffix("/v1")
        assert ask(server, "/health", method="GET", Host=host).status == 200
        assert ask(server, "/health", method="GET", Host="127.0.0.3").status == 403


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_what_a_page_can_send_unasked_is_refused(server: Server, kind: str) -> None:
    assert ask(server, body=CHAT, Content_Type=kind).status == 415


def test_no_page_is_told_that_it_may_ask(server: Server) -> None:
    asked = ask(server, method="OPTIONS", Origin="http://evil.example")
    assert asked.status == 405
    answered = ask(server, body=CHAT, Origin="http://evil.example")
    assert not any(
        name.startswith("access-control") for name in (*asked.headers, *answered.headers)
    )


def test_beyond_this_machine_a_token_is_required(runtime: ScriptedRuntime) -> None:
    for host in ("0.0.0.0", "::", "192.0.2.1", "example.org"):
        with pytest.raises(OptionError, match="a token is required"):
            Address.take(host, 0)
    for token in ("short", "sixteen letters, blanks", "sechzehn-Zeichen-für-dich"):
        with pytest.raises(OptionError, match="16 ASCII characters or more"):
            Address.take(port=0, token=token)
    address = Address.take("0.0.0.0", 0, TOKEN)
    with Server([Offer("mine", runtime)], Limits(), address) as server:
        assert ask(server, "/health", method="GET", Host="any.example").status == 401


def test_a_port_that_is_taken_is_told(server: Server) -> None:
    port = int(server.url.removesuffix("/v1").rpartition(":")[2])
    with pytest.raises(OptionError, match=f"cannot listen on 127.0.0.1, port {port}"):
        Address.take(port=port)
