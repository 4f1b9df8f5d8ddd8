"""What this distribution offers. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator

import customize


@customize.hookimpl
def customize_observers() -> Iterator[customize.ObserverSpec]:
    """The one observer."""
    yield customize.ObserverSpec(
        name="example",
        target="acme_example.observer:Example",
        summary="A line of text for each step, in the run folder.",
    )
