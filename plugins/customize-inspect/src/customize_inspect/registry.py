"""What Inspect finds by its entry point. Imports nothing heavy before it is used."""

from __future__ import annotations

from inspect_ai.model import ModelAPI, modelapi


@modelapi(name="customize")
def customize() -> type[ModelAPI]:
    """Models named ``customize/RUN``."""
    from customize_inspect.provider import RunAPI

    return RunAPI
