"""One connection: whose client neither asks nor reads is dropped. Knows no request.

uvicorn by itself waits for ever for the rest of a request's head, and for what it wrote to be
taken; so a few thousand idle connections would keep everyone else out.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from customize.serving.limits import Limits


class Connection(H11Protocol):  # type: ignore[misc]  # the type checker does not read uvicorn
    """HTTP/1.1, with an end to waiting. ``given`` is uvicorn's own."""

    def __init__(self, limits: Limits, **given: Any) -> None:
        super().__init__(**given)
        self._asking = _Patience(limits.head_time_s)
        self._reading = _Patience(limits.read_time_s)

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        # So that writing is paused while anything is left, and not only much.
        transport.set_write_buffer_limits(0)
        self._asking.begin(transport)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._asking.end()
        else:  # the head is not whole, or this is the rest of what was answered already
            self._asking.begin(self.transport)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._reading.begin(self.transport)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._reading.end()

    def connection_lost(self, exc: Exception | None) -> None:
        self._asking.end()
        self._reading.end()
        super().connection_lost(exc)


class _Patience:
    """Ends a connection after some seconds of waiting."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, transport: asyncio.Transport) -> None:
        """Wait; who waits already goes on."""
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._seconds, transport.abort)

    def end(self) -> None:
        """What was waited for is there, or will never be."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
