"""What this distribution offers. Imports nothing heavy."""

from __future__ import annotations

import os
from collections.abc import Iterator

import customize

_ALWAYS, _NEVER = 1000, -1000


@customize.hookimpl
def customize_backends() -> Iterator[customize.BackendSpec]:
    """The one backend: what ``auto`` takes under torchrun, and nowhere else."""
    yield customize.BackendSpec(
        name="torchrun",
        target="customize_torchrun.backend:Torchrun",
        summary="torch in the processes that torchrun started.",
        priority=_ALWAYS if "TORCHELASTIC_RUN_ID" in os.environ else _NEVER,
    )
