"""What an endpoint is asked, and what it answers. Knows none of them."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import attrs

from customize_tinker.body import Body
from customize_tinker.outcomes import JSON
from customize_tinker.refusals import unreadable
from customize_tinker.service import Service
from customize_tinker.store import Tenant

_MANY = 1_000_000_000


@attrs.frozen(eq=False)
class Ask:
    """One request. groups: what its path's pattern caught. headers: by names in small letters.

    origin: what the server's addresses begin with, as this client writes them.
    waits: with ``Prefer: wait`` an operation answers with its result, in one request.
    """

    service: Service
    tenant: Tenant
    body: bytes
    groups: Sequence[str]
    query: Mapping[str, Sequence[str]]
    headers: Mapping[str, str]
    waits: bool
    origin: str

    def json(self) -> Body:
        return Body.read(self.body)

    def number(self, name: str, default: int, at_most: int = 1000) -> int:
        """A whole number of the query."""
        given = self.query.get(name, [str(default)])[-1]
        if not given.isdecimal() or len(given) > 15 or int(given) > at_most:
            raise unreadable(f"{name} must be a whole number up to {at_most} (got {given[:20]!r})")
        return int(given)


@attrs.frozen(eq=False)
class Answer:
    """status, and a body in its media type."""

    status: int
    body: bytes
    media: str = JSON


Handler = Callable[[Ask], Awaitable[Answer]]


@attrs.frozen
class Endpoint:
    """is_open: answers without a key."""

    method: str
    path: str
    handler: Handler
    is_open: bool = False


def told(value: Mapping[str, Any]) -> Answer:  # any JSON
    return Answer(200, json.dumps(value, separators=(",", ":")).encode())


def page(ask: Ask, found: Sequence[Any], limit: int) -> tuple[Sequence[Any], dict[str, int]]:
    """The part of a list that the query asks for, and which part that is."""
    limit, offset = ask.number("limit", limit), ask.number("offset", 0, _MANY)
    cursor = {"offset": offset, "limit": limit, "total_count": len(found)}
    return found[offset : offset + limit], cursor
