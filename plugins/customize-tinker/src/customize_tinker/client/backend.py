"""The backend ``tinker``: a service holds the base and its customizations."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from customize import (
    Adapter,
    Backend,
    ChatRenderer,
    Engine,
    LoRA,
    ModelError,
    ModelFolder,
    Session,
    Snapshot,
    Unsupported,
    option,
    options,
)
from customize_tinker.client.connection import Connection
from customize_tinker.client.greeting import SDK_VERSION, Flags, keys_of
from customize_tinker.client.heart import keep_alive
from customize_tinker.client.session import PATH, Remote, TinkerSession, read_state

CAPABILITIES = frozenset({"forward_backward", "sample", "snapshot", "base", "save", "lora", "peft"})
_URL, _KEY = "TINKER_BASE_URL", "TINKER_API_KEY"
_ALPHA = 32.0


@options
class Tinker(Backend):
    """A service that speaks the Tinker protocol; the key is read from TINKER_API_KEY."""

    name = "tinker"

    url: str = option(default="", help=f"Where it is; empty takes {_URL} of the environment.")
    base_model: str = option(
        default="", help="What the service calls the model; empty takes the model's own name."
    )

    def probe(self) -> str | None:
        if not (self.url or os.environ.get(_URL)):
            return f"no service: set {_URL}, or give url"
        return None if os.environ.get(_KEY) else f"no key: set {_KEY}"

    def capabilities(self) -> frozenset[str]:
        return CAPABILITIES

    def load(self, model: ModelFolder) -> Engine:
        url, key = self.url or os.environ.get(_URL, ""), os.environ.get(_KEY, "")
        plain = Connection(url, lambda: key)
        flags = Flags.ask(plain)
        keys = keys_of(plain, key, flags)
        asking, beating = Connection(url, keys), Connection(url, keys)
        return TinkerEngine(asking, beating, flags, model, self.base_model or model.name)


class TinkerEngine(Engine):
    """One session with the service. The renderer is made of the model's folder, here."""

    capabilities = CAPABILITIES

    def __init__(
        self,
        connection: Connection,
        beating: Connection,
        flags: Flags,
        model: ModelFolder,
        base_model: str,
    ) -> None:
        self.renderer = ChatRenderer.from_folder(model.path)
        self._model = model
        asked = {"tags": ["customize"], "user_metadata": None, "sdk_version": SDK_VERSION}
        session_id = connection.told("create_session", asked)["session_id"]
        self._remote = Remote(connection, flags, session_id, base_model, self.renderer)
        keep_alive(self._remote, beating, session_id)

    def open(self, adapter: Adapter | Path, seed: int = 0) -> Session:
        if isinstance(adapter, Path):
            state = read_state(adapter / PATH)
            if state.get("base") != self._model.fingerprint:
                raise ModelError(f"{adapter} was trained on another base than {self._model.name}")
            return self._begun("load_weights", {"path": state["path"], "optimizer": False}, seed)
        lora = _offered(adapter)
        config = {"rank": lora.rank, "seed": seed, "train_unembed": False}
        asked = {"base_model": self._remote.base_model, "lora_config": config}
        return self._begun("create_model", asked, seed)

    def base(self) -> Snapshot:
        return self._remote.sampler(base_model=self._remote.base_model)

    def _begun(self, endpoint: str, value: Mapping[str, object], seed: int) -> Session:
        remote = self._remote
        place = {"session_id": remote.session_id, "model_seq_id": remote.number("model")}
        told = remote.connection.told(endpoint, {**place, **value})
        _, body = remote.connection.result(told["request_id"])
        model_id = json.loads(body)["model_id"]
        return TinkerSession(remote, model_id, self._model, self.capabilities, seed)


def _offered(adapter: Adapter) -> LoRA:
    """Raises Unsupported: the protocol has no word for it."""
    if not isinstance(adapter, LoRA):
        raise Unsupported("the backend tinker does not declare 'full': train an adapter")
    if adapter.on is not None:
        raise Unsupported("the backend tinker does not declare 'stack': leave out adapter.on")
    asked = adapter.alpha, adapter.targets, adapter.rslora
    if asked != (_ALPHA, "all-linear", False):
        raise Unsupported(
            f"a service takes rank alone: leave alpha at {_ALPHA:g}, targets at all-linear and "
            "rslora off"
        )
    return adapter
