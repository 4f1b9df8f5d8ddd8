"""The engine that all processes are together, as process 0 sees it. Knows no method."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from customize import (
    Adapter,
    Backend,
    Engine,
    LoRA,
    ModelError,
    ModelFolder,
    Runtime,
    Session,
    Snapshot,
)
from customize_torchrun.conductor import Conductor
from customize_torchrun.session import SpreadSession, SpreadSnapshot


class SpreadEngine(Engine):
    """A base that each process holds whole."""

    def __init__(
        self,
        conductor: Conductor,
        backend: Backend,
        model: ModelFolder,
        prove_every: int,
    ) -> None:
        self._conductor = conductor
        self._prove_every = prove_every
        self._number, replies = conductor.make(
            "load",
            model={**attrs.asdict(model), "path": str(model.path.absolute())},
            on=backend.name,
            options=attrs.asdict(backend),  # type: ignore[arg-type]  # it is of attrs
        )
        conductor.let_go_with(self, self._number)
        sketches = [reply.value["sketch"] for reply in replies]
        wrong = [rank for rank, told in enumerate(sketches) if told != sketches[0]]
        if wrong:
            raise ModelError(
                f"process {', '.join(map(str, wrong))} found another model in {model.path} than "
                "process 0: copy the same one to each machine"
            )
        own = conductor.part.engine(self._number)
        self.renderer, self.capabilities, self.dtype = own.renderer, own.capabilities, own.dtype
        self._own = own

    def open(self, adapter: Adapter | Path, seed: int = 0) -> Session:
        folder, told = _told(adapter)
        number, _ = self._conductor.make(
            "open", at_hand=folder, of=self._number, seed=seed, adapter=told
        )
        return SpreadSession(self._conductor, number, self._prove_every)

    def base(self) -> Snapshot:
        number, _ = self._conductor.make("base", of=self._number)
        return SpreadSnapshot(self._conductor, number)

    def runtime(self, adapters: Mapping[str, Path]) -> Runtime:
        """Process 0 answers; the others wait."""
        return self._own.runtime(adapters)


def _told(adapter: Adapter | Path) -> tuple[Path | None, list[Any]]:
    """The folder that goes with it, and the rest as JSON says it."""
    if isinstance(adapter, Path):
        return adapter, ["saved", {}]
    if isinstance(adapter, LoRA):
        folder = None if adapter.on is None else Path(adapter.on)
        return folder, ["lora", attrs.asdict(adapter)]  # type: ignore[arg-type]  # of attrs
    return None, ["full", {}]
