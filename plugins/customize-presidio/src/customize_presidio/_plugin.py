"""What this distribution offers. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator

import customize


@customize.hookimpl
def customize_scorers() -> Iterator[customize.ScorerSpec]:
    """The one scorer."""
    yield customize.ScorerSpec(
        name="presidio",
        target="customize_presidio.scorer:Presidio",
        summary="Personal data that the row does not show, as Presidio finds it.",
    )
