"""What this distribution offers. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator

import customize


@customize.hookimpl
def customize_exporters() -> Iterator[customize.ExporterSpec]:
    """The one exporter."""
    yield customize.ExporterSpec(
        name="hf",
        target="customize_hf.exporter:HF",
        summary="A folder for transformers and PEFT: the adapter, or merged weights.",
    )
