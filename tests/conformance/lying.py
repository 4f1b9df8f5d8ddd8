"""How a lying backend is made: the toy with one of its classes replaced."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from customize import (
    Engine,
    ModelFolder,
)
from customize.testing import ToyBackend
from customize.testing.toy import ToyEngine, ToySession, ToySnapshot


class LyingEngine(ToyEngine):
    """Its sessions and snapshots are of the classes given."""

    session_class: type[ToySession] = ToySession
    snapshot_class: type[ToySnapshot] = ToySnapshot

    def new_session(self, seed: int) -> ToySession:
        return self.session_class(self, seed)

    def snapshot_of(self, table_VV: Any) -> ToySnapshot:
        return self.snapshot_class(self, table_VV)


class Lying(ToyBackend):
    """The toy backend with one of its classes replaced."""

    def __init__(
        self,
        *,
        session: type[ToySession] = ToySession,
        snapshot: type[ToySnapshot] = ToySnapshot,
        engine: type[LyingEngine] = LyingEngine,
        without: Iterable[str] = (),
    ) -> None:
        super().__init__(without)
        self._session, self._snapshot, self._engine = session, snapshot, engine

    def load(self, model: ModelFolder | None = None) -> Engine:
        engine = self._engine(self.capabilities())
        engine.session_class, engine.snapshot_class = self._session, self._snapshot
        return engine
