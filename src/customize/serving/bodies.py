"""A request's body: bounded in bytes and time, and strict JSON. Knows no field."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.requests import Request

from customize.data.faults import RowFault
from customize.data.strict_json import decode_object
from customize.serving.limits import Limits
from customize.serving.refusal import CLOSING, Refusal


async def read_object(request: Request, limits: Limits) -> dict[str, Any]:
    """The JSON object that a request holds.

    Another content type is refused: it is what keeps web pages of other origins from asking, since
    a browser sends JSON across origins only after it was allowed to.

    Raises:
        Refusal: it is none, too long, or too long in coming.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Refusal(415, "the body must be sent as Content-Type: application/json")
    if request.url.query:
        raise Refusal(400, "nothing is read from a query string: put it in the body")
    try:
        async with asyncio.timeout(limits.body_time_s):
            body = await _read(request, limits.max_body)
    except TimeoutError:
        reason = f"the body did not arrive within {limits.body_time_s:g} s"
        raise Refusal(408, reason, headers=CLOSING) from None
    try:
        return await asyncio.to_thread(decode_object, body)
    except RowFault as fault:
        raise Refusal(400, f"the body cannot be read: {fault.reason} ({fault.detail})") from None


async def _read(request: Request, at_most: int) -> bytes:
    declared = request.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and int(declared) > at_most:
        raise _too_long(at_most)
    body = bytearray()
    more = True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise Refusal(499, "the client left")
        body += message.get("body", b"")
        if len(body) > at_most:
            raise _too_long(at_most)
        more = message.get("more_body", False)
    return bytes(body)


def _too_long(at_most: int) -> Refusal:
    return Refusal(413, f"the body may have {at_most} bytes at most", headers=CLOSING)
