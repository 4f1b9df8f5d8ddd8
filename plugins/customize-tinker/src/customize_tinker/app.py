"""The server's face: raw ASGI, routes, and what each answers. Knows no engine."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any
from urllib.parse import parse_qs

import attrs

from customize import CustomizeError
from customize_tinker.asking import Answer, Ask, Handler
from customize_tinker.endpoints import ENDPOINTS
from customize_tinker.outcomes import JSON
from customize_tinker.refusals import Refusal, missing, unreadable
from customize_tinker.service import Service
from customize_tinker.tenants import Keys

Scope = Mapping[str, Any]  # ASGI's own
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]

_SLOW_S = 60.0  # for one request's body
_PREFIX = "/api/v1"
_log = logging.getLogger("customize.tinker")


@attrs.define(eq=False)
class App:
    """An ASGI application.

    begin: makes the service when the server starts, on its event loop, and ends it.
    hosts: names it answers to; none for any. A page of another site that a browser was led to
        under a name of its own must not be answered.
    """

    begin: Callable[[], AbstractAsyncContextManager[Service]]
    keys: Keys
    hosts: frozenset[str]
    _service: Service | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            answer = await self._answer(scope, receive)
            await _send(send, answer)

    async def _live(self, receive: Receive, send: Send) -> None:
        """From the server's start to its end, of which ASGI tells."""
        await receive()
        try:
            async with self.begin() as self._service:
                await send({"type": "lifespan.startup.complete"})
                await receive()
        except CustomizeError as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.shutdown.complete"})

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        try:
            return await self._find_and_ask(scope, receive)
        except Refusal as refused:
            return _refused(refused.status, refused.message)
        except CustomizeError as error:
            return _refused(422, str(error))
        except Exception:
            _log.exception("a request failed: %s", scope["path"])
            return _refused(500, "a mistake of the server: see its log")

    async def _find_and_ask(self, scope: Scope, receive: Receive) -> Answer:
        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
        self._check_origin(headers)
        handler, groups, is_open = _route(scope["method"], scope["path"])
        assert self._service is not None  # begun before the first request
        tenant = "" if is_open else self.keys.tenant(headers.get("x-api-key"))
        body = await _body(headers, receive, self._service.limits.body_mb << 20)
        query = _query(scope["query_string"].decode("latin-1"))
        waits = headers.get("prefer") == "wait"
        origin = f"{scope['scheme']}://{headers.get('host', '')}"
        owner = self._service.tenant(tenant)
        return await handler(Ask(self._service, owner, body, groups, query, headers, waits, origin))

    def _check_origin(self, headers: Mapping[str, str]) -> None:
        host = headers.get("host", "").rsplit(":", 1)[0].strip("[]")
        if self.hosts and host not in self.hosts:
            raise Refusal(403, f"this server is not {host[:80]!r}")
        if "origin" in headers:
            raise Refusal(403, "this server answers programs, and no pages in a browser")


def _route(method: str, path: str) -> tuple[Handler, tuple[str, ...], bool]:
    allowed = False
    for endpoint in ENDPOINTS:
        if found := re.fullmatch(_PREFIX + endpoint.path, path):
            if endpoint.method == method:
                return endpoint.handler, found.groups(), endpoint.is_open
            allowed = True
    if allowed:
        raise Refusal(405, f"{method} is nothing one does with {path[:200]}")
    raise missing(f"endpoint {path[:200]} here")


def _query(text: str) -> Mapping[str, Sequence[str]]:
    try:
        return parse_qs(text, max_num_fields=16)
    except ValueError:
        raise unreadable("the query has more than 16 fields") from None


async def _body(headers: Mapping[str, str], receive: Receive, most: int) -> bytes:
    if "content-encoding" in headers:
        raise Refusal(415, "send bodies as they are: compressed ones are not taken")
    told = headers.get("content-length", "0")
    if not told.isdecimal() or int(told) > most:
        raise Refusal(413, f"a body of {told[:20]} bytes: {most} at most")
    parts, size = [], 0
    try:
        async with asyncio.timeout(_SLOW_S):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Refusal(400, "the client went away")
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                if size > most:
                    raise Refusal(413, f"a body of more than {most} bytes")
                if not message.get("more_body"):
                    return b"".join(parts)
    except TimeoutError:
        raise Refusal(400, f"the body took longer than {_SLOW_S:.0f} s") from None


def _refused(status: int, message: str) -> Answer:
    return Answer(status, json.dumps({"detail": message}).encode(), JSON)


async def _send(send: Send, answer: Answer) -> None:
    headers = [
        (b"content-type", answer.media.encode()),
        (b"content-length", str(len(answer.body)).encode()),
    ]
    if 400 <= answer.status < 500 and answer.status not in (408, 429):
        headers.append((b"x-should-retry", b"false"))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
