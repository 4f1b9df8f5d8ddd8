"""What this distribution offers. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator

import customize


@customize.hookimpl
def customize_backends() -> Iterator[customize.BackendSpec]:
    """The one backend."""
    yield customize.BackendSpec(
        name="cuda",
        target="customize_cuda.backend:CUDA",
        summary="torch on one NVIDIA GPU.",
        priority=100,
    )
