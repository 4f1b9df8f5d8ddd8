"""What this distribution offers. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator

import customize


@customize.hookimpl
def customize_observers() -> Iterator[customize.ObserverSpec]:
    """The one observer."""
    yield customize.ObserverSpec(
        name="trackio",
        target="customize_trackio.observer:Trackio",
        summary="A run in Trackio, on this machine or where its settings say.",
    )
