"""What this distribution offers. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator

import customize


@customize.hookimpl
def customize_readers() -> Iterator[customize.ReaderSpec]:
    """The one reader."""
    yield customize.ReaderSpec(
        name="example",
        target="acme_example.reader:read",
        summary="Files of questions and answers, a line each.",
        suffixes=frozenset({".qa"}),
    )
