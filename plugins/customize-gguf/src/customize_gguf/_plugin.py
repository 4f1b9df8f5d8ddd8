"""What this distribution offers. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator

import customize


@customize.hookimpl
def customize_exporters() -> Iterator[customize.ExporterSpec]:
    """The one exporter."""
    yield customize.ExporterSpec(
        name="gguf",
        target="customize_gguf.exporter:GGUF",
        summary="GGUF files for llama.cpp and Ollama: base and adapter, or merged weights.",
    )
