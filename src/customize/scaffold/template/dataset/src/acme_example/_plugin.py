"""What this distribution offers. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator

import customize


@customize.hookimpl
def customize_datasets() -> Iterator[customize.DatasetSpec]:
    """The one dataset."""
    yield customize.DatasetSpec(
        name="example",
        target="acme_example.dataset:rows",
        summary="Two questions and their answers.",
    )
