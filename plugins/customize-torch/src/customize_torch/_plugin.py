"""What this distribution offers. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator

import customize


@customize.hookimpl
def customize_backends() -> Iterator[customize.BackendSpec]:
    """The one backend."""
    yield customize.BackendSpec(
        name="cpu",
        target="customize_torch.backend:CPU",
        summary="torch on the processor: always there.",
        priority=0,
    )
