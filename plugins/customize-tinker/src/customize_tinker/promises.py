"""Results that are waited for. Knows no operation; lives on the event loop's thread."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict

import attrs

from customize_tinker.completions import Completions, Stream
from customize_tinker.outcomes import Outcome
from customize_tinker.refusals import Refusal

Key = tuple[str, str]  # tenant and id
_OVERHEAD = 512  # bytes that a kept result takes beside its body, about


@attrs.define(eq=False)
class Promise:
    """Whoever waits is woken the moment the outcome is there.

    stream: where it is told that it is; samples have one.
    """

    stream: Stream | None = None
    outcome: Outcome | None = None
    fetched: bool = False
    arrived: asyncio.Event = attrs.field(factory=asyncio.Event)


class Promises:
    """Every operation's result by its id, kept while room lasts: the fetched ones go first.

    An id is its tenant's: nothing of another's is found, or made, under it.
    """

    def __init__(self, room_bytes: int, queue: int) -> None:
        self.completions = Completions()
        self._room = room_bytes
        self._queue = queue
        self._held: dict[Key, Promise] = {}
        self._kept: OrderedDict[Key, int] = OrderedDict()
        self._num_bytes = 0
        self._waiting: Counter[str] = Counter()

    def new(self, tenant: str, id: str, stream: Stream | None = None) -> None:
        if (tenant, id) not in self._held:
            self._waiting[tenant] += 1
            self._held[tenant, id] = Promise(stream)

    def check_room(self, tenant: str) -> None:
        """Raises Refusal: the key has too much to be done. Clients take 429 for "later"."""
        if self._waiting[tenant] >= self._queue:
            raise Refusal(429, f"{self._queue} operations of this key wait to be done")

    def knows(self, tenant: str, id: str) -> bool:
        return (tenant, id) in self._held

    def resolve(self, tenant: str, id: str, outcome: Outcome) -> None:
        key = tenant, id
        promise = self._held.get(key)
        if promise is None or promise.outcome is not None:
            return
        promise.outcome = outcome
        promise.arrived.set()
        if promise.stream is not None:
            failed = outcome.at_fault is not None
            self.completions.add(promise.stream, id, failed, len(outcome.body))
        self._waiting[tenant] -= 1
        self._kept[key] = len(outcome.body) + _OVERHEAD
        self._num_bytes += self._kept[key]
        self._make_room()

    async def wait(self, tenant: str, id: str, timeout_s: float) -> Outcome | None:
        """The outcome; None where it takes longer.

        Raises:
            KeyError: there is no such result, or it made room for newer ones.
        """
        key = tenant, id
        promise = self._held[key]
        if promise.outcome is None:
            try:
                async with asyncio.timeout(timeout_s):
                    await promise.arrived.wait()
            except TimeoutError:
                return None
        if not promise.fetched:
            promise.fetched = True
            if key in self._kept:  # fetched results go by when they were
                self._kept.move_to_end(key)
        return promise.outcome

    def outcome(self, tenant: str, id: str) -> Outcome | None:
        """At once; None where it is not known."""
        promise = self._held.get((tenant, id))
        return promise.outcome if promise else None

    def _make_room(self) -> None:
        while self._num_bytes > self._room and len(self._kept) > 1:
            fetched = (key for key in self._kept if self._held[key].fetched)
            self._drop(next(fetched, None) or next(iter(self._kept)))

    def _drop(self, key: Key) -> None:
        self._num_bytes -= self._kept.pop(key)
        promise = self._held.pop(key)
        if promise.stream is not None:
            self.completions.discard(promise.stream, key[1])
