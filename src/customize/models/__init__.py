"""Models: from a name, folder, GGUF file or hub id to a checked folder with a fingerprint.

Knows nothing of what is done with a model, and imports no torch.
"""

from __future__ import annotations

from customize.models.sources import locate, resolve

__all__ = ["locate", "resolve"]
