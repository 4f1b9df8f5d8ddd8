"""From a model's name to a server that listens. Knows no request."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import attrs
import uvicorn

from customize import Backend, ModelFolder
from customize_tinker.app import App
from customize_tinker.base import Base
from customize_tinker.limits import Limits
from customize_tinker.service import Service
from customize_tinker.tenants import check_keys, is_loopback

_LOCAL = frozenset({"127.0.0.1", "localhost", "::1"})


@attrs.frozen
class Where:
    """Address, and the keys that are let in; see ``check_keys``."""

    host: str = "127.0.0.1"
    port: int = 8000
    tokens: tuple[str, ...] = ()


def make_app(
    backend: Backend,
    model: ModelFolder,
    folder: Path,
    where: Where,
    names: Sequence[str] = (),
    limits: Limits | None = None,
) -> App:
    """The application; the model is loaded when it starts.

    Raises:
        OptionError: it would listen to the network without a key.
    """
    keys = check_keys(where.host, where.tokens)
    base = Base(model, tuple(dict.fromkeys([*names, model.name])))

    async def begin() -> Service:
        engine = await asyncio.to_thread(backend.load, model)
        return Service(engine, base, folder, limits or Limits())

    return App(begin, keys, _LOCAL if is_loopback(where.host) else frozenset())


def make_server(app: App, where: Where) -> uvicorn.Server:
    """To be run; nothing listens before."""
    config = uvicorn.Config(
        app,
        host=where.host,
        port=where.port,
        log_level="warning",
        access_log=False,
        server_header=False,
        lifespan="on",
        ws="none",
        timeout_keep_alive=75,
        timeout_graceful_shutdown=1,
    )
    return uvicorn.Server(config)
