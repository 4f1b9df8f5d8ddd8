"""GGUF files as models to begin with, and as exports. Knows nothing of training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from customize_gguf._convert import convert as convert

__all__ = ["convert"]


def __getattr__(name: str) -> Any:  # imported when it is used: listing plugins imports this module
    if name != "convert":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from customize_gguf._convert import convert

    return convert
