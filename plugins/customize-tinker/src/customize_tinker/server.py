"""From a model's name to a server that listens. Knows no request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import click
import uvicorn

from customize import Backend, ModelError, ModelFolder, choose_backend, held, resolve
from customize_tinker.app import App
from customize_tinker.base import Base
from customize_tinker.connection import Connection
from customize_tinker.forms import Forms
from customize_tinker.limits import Limits
from customize_tinker.service import Service
from customize_tinker.store import read_json, write_json
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
    forms: Forms | None = None,
) -> App:
    """The application; the model is loaded when it starts. forms: of external checkpoints.

    Raises:
        OptionError: it would listen to the network without a key.
    """
    keys = check_keys(where.host, where.tokens)
    base = Base(model, tuple(dict.fromkeys([*names, model.name])))

    @asynccontextmanager
    async def begin() -> AsyncIterator[Service]:
        folder.mkdir(parents=True, exist_ok=True)
        with held(folder):
            engine = await asyncio.to_thread(_settled(backend, model, folder).load, model)
            service = Service(engine, base, folder, limits or Limits(), forms or Forms())
            try:
                yield service
            finally:
                await service.close()

    return App(begin, keys, _LOCAL if is_loopback(where.host) else frozenset())


def _settled(backend: Backend, model: ModelFolder, folder: Path) -> Backend:
    """The backend with the choices it made when the folder was begun: journals are replayed.

    Raises:
        ModelError: the folder is of another base.
    """
    file = folder / "server.json"
    kept = read_json(file) or {"base": model.fingerprint, "numerics": {}}
    if kept["base"] != model.fingerprint:
        raise ModelError(f"{folder} was begun with another model than {model.name}: take another")
    settled = backend.settled(kept["numerics"])
    write_json(file, {"base": model.fingerprint, "numerics": dict(settled.numerics())})
    return settled


def serve(
    model: str,
    where: Where,
    folder: Path,
    backend: str = "auto",
    names: Sequence[str] = (),
    forms: Forms | None = None,
    limits: Limits | None = None,
) -> None:
    """Let clients of the Tinker API train the model, until Ctrl-C or SIGTERM.

    names: what clients may call it, beside the name that is given here. forms: of external
    checkpoints, beside the adapter. Of several processes that torchrun started the first listens;
    the others compute with it, and end when it does.

    Raises:
        CustomizeError: the model, the backend or the address is not to be had.
    """
    chosen = choose_backend(backend)
    app = make_app(chosen, resolve(model), folder, where, (model, *names), limits, forms)
    key = "one of your tokens" if where.tokens else "tml-anything"
    address = f"http://{where.host}:{where.port}"
    click.echo(f"Training {model}: TINKER_BASE_URL={address} TINKER_API_KEY={key}", err=True)
    make_server(app, where).run()


def make_server(app: App, where: Where) -> uvicorn.Server:
    """To be run; nothing listens before."""
    config = uvicorn.Config(
        app,
        host=where.host,
        port=where.port,
        log_level="warning",
        access_log=False,
        server_header=False,
        http=Connection,
        loop="asyncio",
        lifespan="on",
        ws="none",
        timeout_keep_alive=75,
        timeout_graceful_shutdown=1,
    )
    return uvicorn.Server(config)
