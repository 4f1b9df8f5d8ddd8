"""A small model folder, and a cache of the test's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from safetensors.numpy import save_file

CONFIG = {"model_type": "llama", "hidden_size": 8, "num_hidden_layers": 1, "vocab_size": 16}
TENSORS: dict[str, npt.NDArray[Any]] = {
    "model.embed_tokens.weight": np.arange(32, dtype=np.float32).reshape(4, 8),
    "model.norm.weight": np.ones(8, dtype=np.float16),
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache's folder, empty."""
    monkeypatch.setenv("CUSTOMIZE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model folder as the field writes them."""
    path = tmp_path / "model"
    path.mkdir()
    (path / "config.json").write_text(json.dumps(CONFIG))
    (path / "tokenizer.json").write_text('{"version": "1.0"}')
    save_file(TENSORS, path / "model.safetensors")
    return path
