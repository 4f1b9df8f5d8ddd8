"""What this distribution offers. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator

import customize


@customize.hookimpl
def customize_indexes() -> Iterator[customize.IndexSpec]:
    """The one index."""
    yield customize.IndexSpec(
        name="lancedb",
        target="customize_lancedb.index:LanceIndex",
        summary="Words in LanceDB, in folders and object stores, and vectors beside them.",
    )
