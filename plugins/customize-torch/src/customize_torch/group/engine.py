"""The engine that a crew is together, as its conductor sees it. Knows no method."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from customize import (
    Adapter,
    ChatRenderer,
    Engine,
    LoRA,
    ModelError,
    ModelFolder,
    Session,
    Snapshot,
)
from customize_torch.group.conductor import Conductor
from customize_torch.group.packing import adapter_out
from customize_torch.group.session import SpreadSession, SpreadSnapshot


class SpreadEngine(Engine):
    """A base that each member holds, or with ``shard`` a piece of.

    backend: what the members are together; on: what each computes on, with ``options``.
    without: what cannot be done from where the conductor is.
    """

    def __init__(
        self,
        conductor: Conductor,
        backend: str,
        on: str,
        options: Mapping[str, Any],
        model: ModelFolder,
        prove_every: int,
        without: frozenset[str] = frozenset(),
        shard: bool = False,
    ) -> None:
        self.renderer = ChatRenderer.from_folder(model.path)
        self._backend, self._model = backend, model
        self._on, self._options = on, options
        self._prove_every, self._without, self._shard = prove_every, without, shard
        self._begin(conductor)

    def _begin(self, conductor: Conductor) -> None:
        """Have the members load the base."""
        self._conductor, model = conductor, self._model
        self._number, replies = conductor.make(
            "load",
            model={**attrs.asdict(model), "path": str(model.path.absolute())},
            backend=self._backend,
            on=self._on,
            options=dict(self._options),
            shard=self._shard,
        )
        conductor.let_go_with(self, self._number)
        sketches = [reply.value["sketch"] for reply in replies]
        wrong = [rank for rank, told in enumerate(sketches) if told != sketches[0]]
        if wrong:
            raise ModelError(
                f"process {', '.join(map(str, wrong))} found another model in {model.path} than "
                "process 0: copy the same one to each machine"
            )
        self.capabilities = frozenset(replies[0].value["capabilities"]) - self._without
        self.dtype = replies[0].value["dtype"]

    def open(self, adapter: Adapter | Path, seed: int = 0) -> Session:
        folder, told = _told(adapter)
        number, _ = self._conductor.make(
            "open", at_hand=folder, of=self._number, seed=seed, adapter=told
        )
        return SpreadSession(
            self._conductor, number, self.renderer, self.capabilities, seed, self._prove_every
        )

    def base(self) -> Snapshot:
        number, _ = self._conductor.make("base", of=self._number)
        return SpreadSnapshot(self._conductor, number, self.renderer)


def _told(adapter: Adapter | Path) -> tuple[Path | None, list[Any]]:
    """The folder that goes with it, and the rest as JSON says it."""
    if isinstance(adapter, Path):
        return adapter, ["saved", {}]
    on = adapter.on if isinstance(adapter, LoRA) else None
    return None if on is None else Path(on), adapter_out(adapter)
