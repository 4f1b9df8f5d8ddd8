"""What this distribution offers. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator

import customize


@customize.hookimpl
def customize_encoders() -> Iterator[customize.EncoderSpec]:
    """The one encoder."""
    yield customize.EncoderSpec(
        name="sentence-transformers",
        target="customize_sentence_transformers.encoder:SentenceEncoder",
        summary="Vectors by a sentence-transformers model in a folder.",
    )
