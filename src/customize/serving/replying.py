"""Replies on their way: worked out while the client waits, and dropped when it leaves."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncGenerator, Coroutine, Mapping
from contextlib import aclosing
from typing import Any

import attrs
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from customize._errors import DataError, MissingDependency, Unsupported
from customize.serving.asked import Asked
from customize.serving.choices import Choice, said_together
from customize.serving.forms import Form
from customize.serving.limits import Limits
from customize.serving.measures import Measures
from customize.serving.refusal import Refusal, broken
from customize.serving.speech import Piece, Speech

_log = logging.getLogger(__name__)
_LAST_WORD_S = 1.0  # for telling a client, which may read no more, that its time is up
Pieces = AsyncGenerator[tuple[int, Piece], None]


@attrs.frozen(eq=False)
class Reply:
    """The response to one request, as Starlette calls it."""

    asked: Asked
    form: type[Form]
    limits: Limits
    measures: Measures
    trimmed: bool
    begun: float = attrs.field(factory=time.monotonic)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        events = Events(send)
        try:
            async with asyncio.timeout(self.limits.time_s):
                await _while_connected(receive, self._reply(scope, receive, events))
        # By the template or the runtime, or for what it lacks here.
        except (DataError, Unsupported, MissingDependency) as error:
            await events.fail(Refusal(400, str(error)))
        except TimeoutError:
            reason = f"the answer took longer than this server's limit of {self.limits.time_s:g} s"
            async with asyncio.timeout(_LAST_WORD_S):
                await events.fail(Refusal(504, reason, code="timeout"))

    async def _reply(self, scope: Scope, receive: Receive, events: Events) -> None:
        desk = self.asked.served.desk
        with desk.admit(self.asked.num_answers):
            asked = await asyncio.to_thread(self.asked.ready)
            form = self.form(asked, await self._choices(asked))
            self._count(form, "prompt_tokens")
            try:
                async with aclosing(self._heard(form)) as heard:
                    if self.asked.stream:
                        await self._stream(form, heard, events)
                        return
                    async for _ in heard:
                        pass
            finally:
                self._count(form, "completion_tokens")
        await JSONResponse(form.whole())(scope, receive, events.send)

    async def _choices(self, asked: Asked) -> list[Choice]:
        queries = await asyncio.to_thread(asked.queries, self.limits)
        renderer, stops = asked.served.renderer, asked.stops
        return [Choice(query, Speech(renderer, stops, self.trimmed)) for query in queries]

    async def _heard(self, form: Form) -> Pieces:
        """Pieces of all choices, after the form has heard them."""
        is_first = True
        async with aclosing(said_together(self.asked.served.desk, form.choices)) as pieces:
            async for number, piece in pieces:
                if is_first:
                    waited = time.monotonic() - self.begun
                    self.measures.first_token(self.asked.served.name, waited)
                    is_first = False
                form.heard[number].hear(piece)
                yield number, piece

    async def _stream(self, form: Form, heard: Pieces, events: Events) -> None:
        try:
            async for number, piece in heard:
                for chunk in form.chunks(number, piece):
                    await events.tell(chunk)
            if self.asked.include_usage:
                await events.tell(form.last_chunk())
            await events.end()
        except Exception:
            if not events.begun:
                raise
            _log.exception("an answer broke off")
            await events.fail(broken())

    def _count(self, form: Form, what: str) -> None:
        counts = {
            "prompt_tokens": self.measures.prompt_tokens,
            "completion_tokens": self.measures.tokens,
        }
        counts[what][self.asked.served.name] += form.usage()[what]


class Events:
    """Server-sent events: the response begins with the first."""

    def __init__(self, send: Send) -> None:
        self.send = send
        self.begun = False

    async def tell(self, value: Mapping[str, Any]) -> None:
        """One event."""
        await self._write(json.dumps(value, ensure_ascii=False, separators=(",", ":")), True)

    async def end(self) -> None:
        """The event that says that there are no more."""
        await self._write("[DONE]", False)

    async def fail(self, refusal: Refusal) -> None:
        """A refusal as the response, or as its last event where it has begun."""
        if not self.begun:
            raise refusal
        await self._write(json.dumps(refusal.body()), False)

    async def _write(self, text: str, more: bool) -> None:
        if not self.begun:
            self.begun = True
            headers = [
                (b"content-type", b"text/event-stream; charset=utf-8"),
                (b"cache-control", b"no-store"),
            ]
            await self.send({"type": "http.response.start", "status": 200, "headers": headers})
        body = f"data: {text}\n\n".encode()
        await self.send({"type": "http.response.body", "body": body, "more_body": more})


async def _while_connected(receive: Receive, work: Coroutine[Any, Any, None]) -> None:
    """Do the work to its end, or until the client leaves."""
    working, left = asyncio.create_task(work), asyncio.create_task(_leaving(receive))
    try:
        await asyncio.wait((working, left), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
    finally:
        working.cancel()
        left.cancel()
        await asyncio.gather(working, left, return_exceptions=True)


async def _leaving(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
