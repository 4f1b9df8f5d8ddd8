"""K-quants, made by ggml: what is read again is near, and other rows have what llama.cpp gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from exporting import base, source, written
from gguf import GGMLQuantizationType
from gguf.quants import dequantize

from customize import MissingDependency
from customize_gguf import _ggml
from customize_gguf._reader import open_gguf
from customize_gguf._writing import Tensor, write
from customize_gguf.exporter import GGUF

BITS = {"Q4_K": 4, "Q5_K": 5, "Q6_K": 6}


@pytest.fixture
def weights() -> np.ndarray:
    pytest.importorskip("xllamacpp")
    return np.random.default_rng(0).normal(size=(6, 512)).astype(np.float32)


@pytest.mark.parametrize("kind", BITS)
def test_what_is_written_is_read_within_a_step_of_its_bits(
    kind: str, weights: np.ndarray, tmp_path: Path
) -> None:
    tensors = [Tensor("blk.0.ffn_up.weight", weights.shape, kind, lambda: weights)]
    write(tmp_path / "k.gguf", {"general.architecture": "llama"}, tensors)
    with open_gguf(tmp_path / "k.gguf") as file:
        kept = file.tensors["blk.0.ffn_up.weight"]
        assert kept.type.name == kind
        again = kept.type.dequantise(kept.data).reshape(weights.shape)
    groups = weights.reshape(-1, 16 if kind == "Q6_K" else 32)  # that share a scale
    step = (groups.max(1) - groups.min(1)) / (2 ** BITS[kind] - 1)
    away = np.abs(again - weights).reshape(groups.shape).max(1)
    assert (away < 1.2 * step).all()
    theirs = dequantize(_ggml.quantize(weights, kind), GGMLQuantizationType[kind])
    np.testing.assert_allclose(again, theirs, rtol=1e-6)


def test_more_bits_are_nearer(weights: np.ndarray) -> None:
    away = [
        np.square(dequantize(_ggml.quantize(weights, k), GGMLQuantizationType[k]) - weights).mean()
        for k in BITS
    ]
    assert away[0] > 3 * away[1] > 9 * away[2]


@pytest.mark.parametrize(
    ("dtype", "narrow", "table"),
    [("q4_k", "Q5_0", "Q8_0"), ("q5_k", "Q5_1", "Q8_0"), ("q6_k", "Q8_0", "Q8_0")],
)
def test_rows_that_do_not_divide_have_what_llama_cpp_gives_them(
    dtype: str, narrow: str, table: str, tmp_path: Path, weights: np.ndarray
) -> None:
    out = written(source(base("llama", tmp_path)), tmp_path / "out", dtype=dtype)
    with open_gguf(out / "model.gguf") as file:
        kinds = {name: tensor.type.name for name, tensor in file.tensors.items()}
    assert kinds["blk.0.attn_q.weight"] == narrow  # 32 wide
    assert kinds["blk.0.ffn_down.weight"] == "F16"  # 48 wide
    assert kinds["token_embd.weight"] == kinds["output.weight"] == table
    assert kinds["output_norm.weight"] == "F32"


def test_without_ggml_they_are_refused_before_work_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    _ggml._quantizer.cache_clear()
    what = source(base("llama", tmp_path))
    with pytest.raises(MissingDependency, match=r"pip install 'customize-gguf\[llama-cpp\]'"):
        GGUF(dtype="q4_k").check(what)
    GGUF(dtype="q4_0").check(what)
