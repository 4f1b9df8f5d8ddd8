"""Who is answered now, who waits, and who is sent away. Knows runtimes, and no protocol."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from customize._errors import BackendError
from customize.interfaces.runtime import Query, Runtime, Said
from customize.serving.limits import Limits
from customize.serving.refusal import Refusal

_AGAIN_S = 1  # after which a client that was sent away may try again


class Desk:
    """The queue before one runtime, for all models that it holds.

    A query has a thread of its own while it is answered, since runtimes batch what several threads
    ask; its slot is free when that thread is at its end, however the client left.
    """

    def __init__(self, runtime: Runtime, limits: Limits) -> None:
        self.runtime = runtime
        self.slots = min(runtime.slots, limits.slots or runtime.slots)
        self.capacity = self.slots + limits.queue
        self.admitted = 0
        self.answering = 0
        self._free = asyncio.Semaphore(self.slots)
        self._threads = ThreadPoolExecutor(self.slots, thread_name_prefix="answering")

    @contextmanager
    def admit(self, number: int) -> Iterator[None]:
        """A place for so many queries, from before their prompt is rendered.

        Raises:
            Refusal: there is no room.
        """
        if number > self.capacity:
            raise Refusal(400, f"this server takes {self.capacity} answers at once, not {number}")
        if self.admitted + number > self.capacity:
            reason = f"{self.slots} answers are under way and the queue is full: try again"
            raise Refusal(429, reason, code="queue_full", headers={"Retry-After": str(_AGAIN_S)})
        self.admitted += number
        try:
            yield
        finally:
            self.admitted -= number

    async def answer(self, query: Query) -> AsyncGenerator[Said, None]:
        """The answer's tokens as they are drawn; who stops listening frees the slot."""
        await self._free.acquire()
        loop = asyncio.get_running_loop()
        heard: asyncio.Queue[Said | Exception | None] = asyncio.Queue()
        left = threading.Event()

        def tell(item: Said | Exception | None) -> None:
            loop.call_soon_threadsafe(heard.put_nowait, item)

        self.answering += 1
        working = loop.run_in_executor(self._threads, _speak, self.runtime, query, left, tell)
        working.add_done_callback(self._freed)
        try:
            while (item := await heard.get()) is not None:
                if isinstance(item, Exception):
                    raise item
                yield item
        finally:
            left.set()

    def _freed(self, working: asyncio.Future[None]) -> None:
        self.answering -= 1
        self._free.release()

    def close(self) -> None:
        """End the threads, then the runtime."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        self.runtime.close()


def _speak(
    runtime: Runtime,
    query: Query,
    left: threading.Event,
    tell: Callable[[Said | Exception | None], None],
) -> None:
    """Tell all that the runtime says, then None or what it raised, until nobody listens."""
    said: Iterator[Said] = iter(())
    try:
        said = runtime.stream(query, left)
        for one in said:
            if left.is_set():
                break
            tell(one)
        tell(None)
    except BaseException as error:  # a panic of Rust's is no Exception
        tell(error if isinstance(error, Exception) else BackendError(repr(error)))
    finally:
        # An iterator without close has nothing to free.
        getattr(said, "close", lambda: None)()
