"""The server: uvicorn at an address, and an end that lets answers finish. Knows no route."""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Sequence
from functools import partial
from types import FrameType, TracebackType

import uvicorn

from customize.serving.address import Address
from customize.serving.app import make_app
from customize.serving.connection import Connection
from customize.serving.limits import Limits
from customize.serving.menu import Menu, Offer

_CONNECTIONS = 1000


class Server:
    """Serves what is offered, from entering to leaving ``with``."""

    def __init__(self, offers: Sequence[Offer], limits: Limits, address: Address) -> None:
        """Raises what `Menu` raises."""
        self.url = address.url
        self._menu = Menu(offers, limits)
        app = make_app(self._menu, limits, address.askers, address.hosts)
        self._uvicorn = uvicorn.Server(_config(app, limits))
        self._thread = threading.Thread(
            target=self._uvicorn.run, args=([address.socket],), name="serving"
        )

    @property
    def names(self) -> list[str]:
        """What clients may give as ``model``."""
        return self._menu.names

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take no more requests, let those under way finish, and free what is held."""
        self._uvicorn.should_exit = True
        self._thread.join()
        self._menu.close()

    def wait(self) -> int:
        """Serve until Ctrl-C or SIGTERM, and say which it was; a second one waits for no answer."""
        came: list[int] = []
        told = threading.Event()

        def tell(number: int, frame: FrameType | None) -> None:
            self._uvicorn.force_exit = bool(came)
            came.append(number)
            told.set()

        before = {number: signal.signal(number, tell) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            told.wait()
            self._uvicorn.should_exit = True
            self._thread.join()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        return came[0]


def _config(app: object, limits: Limits) -> uvicorn.Config:
    """Nothing that depends on what else is installed, and no header believed of a proxy."""
    return uvicorn.Config(
        app,
        http=partial(Connection, limits),
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=_CONNECTIONS,
        timeout_graceful_shutdown=math.ceil(limits.time_s),
    )
