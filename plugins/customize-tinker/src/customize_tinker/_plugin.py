"""What this distribution offers. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator

import customize


@customize.hookimpl
def customize_backends() -> Iterator[customize.BackendSpec]:
    """The one backend."""
    yield customize.BackendSpec(
        name="tinker",
        target="customize_tinker.client.backend:Tinker",
        summary="A service that speaks the Tinker protocol, our own server or another.",
        priority=-100,
        elsewhere=True,
    )
