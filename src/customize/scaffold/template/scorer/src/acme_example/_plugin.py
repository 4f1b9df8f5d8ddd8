"""What this distribution offers. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator

import customize


@customize.hookimpl
def customize_scorers() -> Iterator[customize.ScorerSpec]:
    """The one scorer."""
    yield customize.ScorerSpec(
        name="example",
        target="acme_example.scorer:Example",
        summary="The share of the row's terms that an answer says.",
    )
