"""What this distribution offers. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator

import customize


@customize.hookimpl
def customize_exporters() -> Iterator[customize.ExporterSpec]:
    """The one exporter."""
    yield customize.ExporterSpec(
        name="example",
        target="acme_example.exporter:Example",
        summary="The adapter alone, for runtimes that have its base.",
    )
