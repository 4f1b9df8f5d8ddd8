"""What this distribution offers. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator

import customize


@customize.hookimpl
def customize_observers() -> Iterator[customize.ObserverSpec]:
    """The one observer."""
    yield customize.ObserverSpec(
        name="tensorboard",
        target="customize_tensorboard.observer:TensorBoard",
        summary="TensorBoard event files in the run folder.",
    )
