"""A GGUF file wherever customize takes a model."""

from __future__ import annotations

from pathlib import Path

import pytest
from gguf_writer import write_gguf
from tiny_models import metadata, tensors, tiny_model

import customize


def test_a_gguf_file_resolves_to_a_folder_converted_once_by_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUSTOMIZE_CACHE", str(tmp_path / "cache"))
    gguf = tmp_path / "tiny.gguf"
    write_gguf(gguf, metadata("llama"), tensors("llama", tiny_model("llama")))
    first = customize.resolve(gguf)
    moved = customize.resolve(gguf.rename(tmp_path / "sub.gguf").rename(gguf))
    assert (moved, first.name) == (first, "tiny")
    assert first.path.parent == tmp_path / "cache" / "models"
    exact = customize.resolve(str(gguf), dtype="float32")
    assert exact.path != first.path
    assert exact.fingerprint != first.fingerprint


def test_a_damaged_gguf_file_leaves_nothing_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUSTOMIZE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "bad.gguf").write_bytes(b"GGUF" + bytes(40))
    with pytest.raises(customize.ModelError, match="version"):
        customize.resolve(tmp_path / "bad.gguf")
    assert list((tmp_path / "cache" / "models").iterdir()) == []
