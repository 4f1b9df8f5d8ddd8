"""Models: where weights come from. Knows nothing of what is done with them."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import attrs


@attrs.frozen
class ModelFolder:
    """A model on disk: config.json, tokenizer.json, chat template and safetensors.

    fingerprint: sha256 over configuration, tokenizer and each tensor; an adapter remembers its
        base's and refuses another.
    revision: the commit of a hub model, else None.
    """

    path: Path
    name: str
    fingerprint: str
    revision: str | None = None


class ModelSource(Protocol):
    """What a model plugin's target is: makes a folder that any loader of the field can read."""

    def fetch(self, dtype: str = "bfloat16") -> Path:
        """The folder, made once and cached.

        Raises:
            MissingDependency: the weights' package is not installed; the message installs it.
        """
