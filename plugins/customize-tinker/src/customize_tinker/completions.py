"""Which samples are done, for clients that ask for many at a time. Knows no result.

Lives on the event loop's thread.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import OrderedDict

import attrs

from customize_tinker.refusals import Refusal

_CLONE = 1_000_000_000  # numbers that each copy of a sampling client has for its requests
_MOST = 4096  # told at a time


@attrs.frozen
class Stream:
    """Where a copy of a sampling client looks for what it asked."""

    tenant: str
    sampler_id: str
    clone: int

    @classmethod
    def of(cls, tenant: str, sampler_id: str, seq: int) -> Stream:
        return cls(tenant, sampler_id, seq // _CLONE)


@attrs.frozen
class Completion:
    """cursor: grows with each that is done. num_bytes: of the result."""

    cursor: int
    request_id: str
    failed: bool
    num_bytes: int


class Completions:
    """Of each stream in the order they were done, until they were seen or their results are gone.

    Cursors go on from the clock, so that those of a server that ended are below all of this one.
    """

    def __init__(self) -> None:
        self._first = time.time_ns() // 1000
        self._numbers = itertools.count(self._first)
        self._done: dict[Stream, OrderedDict[str, Completion]] = {}
        self._arrived: dict[Stream, asyncio.Event] = {}

    def add(self, stream: Stream, request_id: str, failed: bool, num_bytes: int) -> None:
        told = Completion(next(self._numbers), request_id, failed, num_bytes)
        self._done.setdefault(stream, OrderedDict())[request_id] = told
        if event := self._arrived.pop(stream, None):
            event.set()

    def discard(self, stream: Stream, request_id: str) -> None:
        """Its result is gone."""
        if done := self._done.get(stream):
            done.pop(request_id, None)
            if not done:
                del self._done[stream]

    async def after(self, stream: Stream, cursor: int, timeout_s: float) -> list[Completion]:
        """What was done after a cursor, 0 for all; where there is nothing, wait for the first.

        Raises:
            Refusal: the cursor is of a server that ended, whose results ended with it.
        """
        if 0 < cursor < self._first:
            raise Refusal(410, "the server began anew: ask for these samples again")
        self._forget(stream, cursor)
        if stream not in self._done and timeout_s > 0:
            event = self._arrived.setdefault(stream, asyncio.Event())
            try:
                async with asyncio.timeout(timeout_s):
                    await event.wait()
            except TimeoutError:
                if self._arrived.get(stream) is event:
                    del self._arrived[stream]
        return list(itertools.islice(self._done.get(stream, {}).values(), _MOST))

    def _forget(self, stream: Stream, cursor: int) -> None:
        """Those up to a cursor were seen."""
        while done := self._done.get(stream):
            oldest = next(iter(done.values()))
            if oldest.cursor > cursor:
                return
            self.discard(stream, oldest.request_id)
