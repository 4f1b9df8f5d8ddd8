"""Who may ask: the Host header and the token, looked at before any route. Knows no route."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Set

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from customize.serving.refusal import CLOSING, Refusal

_TAGS = "customize.tags"


class Guard:
    """Lets a request through, or answers it.

    askers: tokens, one of which must follow ``Authorization: Bearer``, each with the tags of who
        has it; where there are none nobody needs one, and nobody has tags.
    hosts: names under which the server may be addressed; None allows any. On a loopback address
        this is what a page meets whose name was made to lead here (DNS rebinding).
    """

    def __init__(
        self, app: ASGIApp, askers: Mapping[str, Set[str]], hosts: Set[str] | None
    ) -> None:
        self._app = app
        self._askers = [(_digest(token.encode()), tags) for token, tags in askers.items()]
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "lifespan"):
            await send({"type": f"{scope['type']}.close"})
            return
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            tags = self._tags(headers)
            if (refusal := self._refusal(headers, tags)) is not None:
                await refusal.response()(scope, receive, send)
                return
            scope[_TAGS] = tags
        await self._app(scope, receive, send)

    def _refusal(self, headers: Headers, tags: Set[str] | None) -> Refusal | None:
        hosts = headers.getlist("host")
        if self._hosts is not None and (len(hosts) != 1 or _name(hosts[0]) not in self._hosts):
            names = ", ".join(sorted(self._hosts))
            return Refusal(403, f"this server answers to the names {names} only", headers=CLOSING)
        if tags is None:
            message = "send the server's token as the API key (Authorization: Bearer TOKEN)"
            asking = {"WWW-Authenticate": "Bearer", **CLOSING}
            return Refusal(401, message, code="invalid_api_key", headers=asking)
        return None

    def _tags(self, headers: Headers) -> Set[str] | None:
        """Those of who asks; None where that is nobody who may."""
        if not self._askers:
            return frozenset()
        given = headers.getlist("authorization")
        scheme, _, token = (given[0] if len(given) == 1 else "").partition(" ")
        digest = _digest(token.strip().encode("latin-1"))
        # Digests are of one length, so that the time says nothing of the token's either.
        found = [tags for own, tags in self._askers if hmac.compare_digest(digest, own)]
        return found[0] if found and scheme.lower() == "bearer" else None


def tags_of(scope: Scope) -> Set[str]:
    """The tags of who asks, as `Guard` found them."""
    tags: Set[str] = scope[_TAGS]
    return tags


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()


def _name(host: str) -> str:
    """A Host header without its port."""
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdigit() else host).lower()
