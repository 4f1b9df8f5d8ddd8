"""What this distribution offers. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator

import customize


@customize.hookimpl
def customize_indexes() -> Iterator[customize.IndexSpec]:
    """The one index."""
    yield customize.IndexSpec(
        name="tantivy",
        target="customize_tantivy.index:TantivyIndex",
        summary="Words in Tantivy, a search engine.",
    )
