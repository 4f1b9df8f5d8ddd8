"""Exports of a tiny random model: loaded as users load them, they answer as the session does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import customize
from customize import (
    AdamW,
    Batch,
    CrossEntropy,
    Exportable,
    LoRA,
    ModelFolder,
    ParityError,
)
from customize_hf import merging
from customize_hf.exporter import HF

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    """A random llama of two layers with SmolLM2's tokenizer and template."""
    real = customize.resolve("smollm2")
    folder = tmp_path_factory.mktemp("tiny")
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=49152,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=True,
        eos_token_id=2,
    )
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        if (real.path / name).is_file():
            (folder / name).write_bytes((real.path / name).read_bytes())
    return ModelFolder(folder, "tiny", "tiny-fingerprint")


@pytest.fixture(scope="module")
def source(model: ModelFolder) -> Exportable:
    """A session that was trained far from its base."""
    from customize_torch.backend import CPU

    engine = CPU(dtype="float32").load(model)
    session = engine.open(LoRA(rank=4))
    tokens = np.random.default_rng(0).integers(5, 40000, 30)
    batch = Batch.from_sequences([(tokens, {"weights": np.ones(30)})])
    for _ in range(20):
        session.forward_backward(batch, CrossEntropy())
        session.optim_step(AdamW(lr=0.05)).result()
    prompts: list[list[dict[str, Any]]] = [
        [{"role": "user", "content": text}]
        for text in ("Do you deliver?", "Café — 12.50 €? 日本語 🍕 <tag>")
    ]
    return Exportable(model, engine, session, prompts, "# A card\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    "exporter", [HF(), HF(merged=True), HF(merged=True, dtype="bfloat16")], ids=repr
)
def test_an_export_answers_as_the_session_does(
    source: Exportable, tmp_path: Path, exporter: HF
) -> None:
    figures = exporter.export(source, tmp_path / "out")
    assert figures["mean_logprob_difference"] < 0.03
    assert figures["mean_difference_to_base"] > 0.1
    assert json.loads((tmp_path / "out" / "parity.json").read_text()) == figures
    stops = json.loads((tmp_path / "out" / "generation_config.json").read_text())["eos_token_id"]
    assert 2 in stops
    assert (tmp_path / "out" / "README.md").read_text() == "# A card\n"


@pytest.mark.slow
def test_a_merge_that_does_nothing_is_refused_and_leaves_no_folder(
    source: Exportable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merging, "_scale", lambda config: 0.0)
    with pytest.raises(ParityError):
        HF(merged=True).export(source, tmp_path / "out")
    assert not list(tmp_path.iterdir())
