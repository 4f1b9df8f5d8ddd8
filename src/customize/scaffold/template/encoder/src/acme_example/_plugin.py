"""What this distribution offers. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator

import customize


@customize.hookimpl
def customize_encoders() -> Iterator[customize.EncoderSpec]:
    """The one encoder."""
    yield customize.EncoderSpec(
        name="example",
        target="acme_example.encoder:Example",
        summary="Vectors of how often words come.",
    )
