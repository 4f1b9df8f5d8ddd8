"""What this distribution offers. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator

import customize


@customize.hookimpl
def customize_observers() -> Iterator[customize.ObserverSpec]:
    """The one observer."""
    yield customize.ObserverSpec(
        name="mlflow",
        target="customize_mlflow.observer:MLflow",
        summary="A run in MLflow, on a server or in a local store.",
    )
