"""The engine that all processes are together, as process 0 sees it. Knows no method."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path

from customize import Runtime
from customize_torch.group.conductor import Conductor
from customize_torch.group.engine import SpreadEngine
from customize_torchrun.crew import Launched


class LaunchedEngine(SpreadEngine):
    """A base that each process holds, this one too."""

    def runtime(self, adapters: Mapping[str, Path]) -> Runtime:
        """Process 0 answers; the others wait."""
        assert isinstance(self._conductor.crew, Launched)
        return self._conductor.crew.part.engine(self._number).runtime(adapters)


@functools.cache
def conductor_of(crew: Launched) -> Conductor:
    """The one conductor of a group: what it numbers, the others hold under these numbers."""
    return Conductor(crew)
