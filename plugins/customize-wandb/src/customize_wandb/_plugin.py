"""What this distribution offers. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator

import customize


@customize.hookimpl
def customize_observers() -> Iterator[customize.ObserverSpec]:
    """The one observer."""
    yield customize.ObserverSpec(
        name="wandb",
        target="customize_wandb.observer:WandB",
        summary="A run in Weights & Biases, online or offline.",
    )
