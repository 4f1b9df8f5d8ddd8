"""What this distribution offers. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator

import customize


@customize.hookimpl
def customize_backends() -> Iterator[customize.BackendSpec]:
    """The one backend."""
    yield customize.BackendSpec(
        name="rocm",
        target="customize_rocm.backend:ROCm",
        summary="torch on one AMD GPU; untested on hardware.",
        priority=100,
    )
