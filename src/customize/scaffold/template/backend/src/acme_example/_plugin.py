"""What this distribution offers. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator

import customize


@customize.hookimpl
def customize_backends() -> Iterator[customize.BackendSpec]:
    """The one backend."""
    yield customize.BackendSpec(
        name="example",
        target="acme_example.backend:Example",
        summary="Learns how often each token occurs, in numpy.",
    )
