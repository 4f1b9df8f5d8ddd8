"""What this distribution offers. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator

import customize


@customize.hookimpl
def customize_exporters() -> Iterator[customize.ExporterSpec]:
    """The one exporter."""
    yield customize.ExporterSpec(
        name="onnx",
        target="customize_onnx.exporter:ONNX",
        summary="A graph for onnxruntime: one base with adapters, or merged weights.",
    )
