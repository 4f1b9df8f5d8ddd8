"""What this distribution offers. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator

import customize


@customize.hookimpl
def customize_models() -> Iterator[customize.ModelSpec]:
    """The one model."""
    yield customize.ModelSpec(
        name="example",
        target="acme_example.model:Example",
        summary="A random llama of two layers.",
    )
