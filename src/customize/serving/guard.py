"""Who may ask: the Host header and the token, looked at before any route. Knows no route."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Set

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from customize.serving.refusal import CLOSING, Refusal


class Guard:
    """Lets a request through, or answers it.

    token: what must follow ``Authorization: Bearer``; None asks for none.
    hosts: names under which the server may be addressed; None allows any. On a loopback address
        this is what a page meets whose name was made to lead here (DNS rebinding).
    """

    def __init__(self, app: ASGIApp, token: str | None, hosts: Set[str] | None) -> None:
        self._app = app
        self._digest = None if token is None else _digest(token.encode())
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "lifespan"):
            await send({"type": f"{scope['type']}.close"})
            return
        if scope["type"] == "http" and (refusal := self._refusal(Headers(scope=scope))):
            await refusal.response()(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _refusal(self, headers: Headers) -> Refusal | None:
        hosts = headers.getlist("host")
        if self._hosts is not None and (len(hosts) != 1 or _name(hosts[0]) not in self._hosts):
            names = ", ".join(sorted(self._hosts))
            return Refusal(403, f"this server answers to the names {names} only", headers=CLOSING)
        if self._digest is not None and not self._has_token(headers):
            message = "send the server's token as the API key (Authorization: Bearer TOKEN)"
            asking = {"WWW-Authenticate": "Bearer", **CLOSING}
            return Refusal(401, message, code="invalid_api_key", headers=asking)
        return None

    def _has_token(self, headers: Headers) -> bool:
        assert self._digest is not None
        given = headers.getlist("authorization")
        scheme, _, token = (given[0] if len(given) == 1 else "").partition(" ")
        # Digests are of one length, so that the time says nothing of the token's either.
        equal = hmac.compare_digest(_digest(token.strip().encode("latin-1")), self._digest)
        return equal and scheme.lower() == "bearer"


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()


def _name(host: str) -> str:
    """A Host header without its port."""
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdigit() else host).lower()
