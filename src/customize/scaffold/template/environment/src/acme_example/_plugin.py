"""What this distribution offers. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator

import customize


@customize.hookimpl
def customize_environments() -> Iterator[customize.EnvironmentSpec]:
    """The one environment."""
    yield customize.EnvironmentSpec(
        name="example",
        target="acme_example.environment:guessing",
        summary="A number is guessed, with a hint after each guess.",
    )
