"""What this distribution offers. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator

import customize


@customize.hookimpl
def customize_models() -> Iterator[customize.ModelSpec]:
    """The one model."""
    yield customize.ModelSpec(
        name="smollm2",
        target="customize_smollm2.model:SmolLM2",
        hub="HuggingFaceTB/SmolLM2-135M-Instruct",
        summary="SmolLM2-135M-Instruct: small, real, and there without a download.",
    )
