"""One connection: whose client neither asks nor reads is dropped. Knows no request.

uvicorn by itself waits for ever for the rest of a request's head, and for what it wrote to be
taken.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

_HEAD_S = 30.0  # for a request's head
_READ_S = 60.0  # for some of an answer to be taken


class Connection(H11Protocol):  # type: ignore[misc]  # the type checker does not read uvicorn
    """HTTP/1.1, with an end to waiting."""

    _asking: asyncio.TimerHandle | None = None
    _reading: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        # So that writing is paused while anything is left, and not only much.
        transport.set_write_buffer_limits(0)
        self._asking = self._dropped_in(_HEAD_S)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._asking = _end(self._asking)
        elif self._asking is None:  # the head is not whole, or an answer came before the body did
            self._asking = self._dropped_in(_HEAD_S)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._reading = self._dropped_in(_READ_S)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._reading = _end(self._reading)

    def connection_lost(self, exc: Exception | None) -> None:
        self._asking, self._reading = _end(self._asking), _end(self._reading)
        super().connection_lost(exc)

    def _dropped_in(self, seconds: float) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(seconds, self.transport.abort)


def _end(timer: asyncio.TimerHandle | None) -> asyncio.TimerHandle | None:
    """What is left of it: nothing."""
    if timer is not None:
        timer.cancel()
    return None
