"""The engine that the workers are together, and the next ones after these. Knows no method."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from customize import Adapter, ModelFolder, Session, Snapshot
from customize_ray.cluster import Team
from customize_torch.group.engine import SpreadEngine


class RayEngine(SpreadEngine):
    """A base that each worker holds; where some were lost, it is loaded by others."""

    def __init__(
        self,
        team: Team,
        on: str,
        options: Mapping[str, Any],
        model: ModelFolder,
        prove_every: int,
        without: frozenset[str],
    ) -> None:
        self._team = team
        super().__init__(team.conductor(), "ray", on, options, model, prove_every, without)

    def open(self, adapter: Adapter | Path, seed: int = 0) -> Session:
        self._begin_again()
        return super().open(adapter, seed)

    def base(self) -> Snapshot:
        self._begin_again()
        return super().base()

    def _begin_again(self) -> None:
        conductor = self._team.conductor()
        if conductor is not self._conductor:
            self._begin(conductor)
