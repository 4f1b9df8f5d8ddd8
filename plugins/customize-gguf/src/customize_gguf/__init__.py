"""GGUF files as ordinary model folders. Knows nothing of training."""

from __future__ import annotations

from customize_gguf._convert import convert

__all__ = ["convert"]
