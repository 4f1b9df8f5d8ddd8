"""What this distribution offers. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator

import customize


@customize.hookimpl
def customize_indexes() -> Iterator[customize.IndexSpec]:
    """The one index."""
    yield customize.IndexSpec(
        name="example",
        target="acme_example.index:Example",
        summary="Chunks in memory, by the words that they share with a question.",
    )
