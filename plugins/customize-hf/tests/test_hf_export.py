"""Exports of a tiny random model: loaded as users load them, they answer as the session does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import save_file

import customize
from customize import (
    AdamW,
    Batch,
    CrossEntropy,
    Engine,
    Exportable,
    ExportError,
    Full,
    LoRA,
    ModelFolder,
    OptionError,
    ParityError,
    UnknownName,
    reference_answers,
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
    (folder / "generation_config.json").write_text('{"do_sample": true, "temperature": 0.5}')
    return customize.resolve(folder)


@pytest.fixture(scope="module")
def source(model: ModelFolder) -> Exportable:
    """A session that was trained far from its base."""
    from customize_torch.backend import CPU

    engine = CPU(dtype="float32").load(model)
    return _trained(model, engine, LoRA(rank=4))


def _trained(model: ModelFolder, engine: Engine, adapter: LoRA | Full) -> Exportable:
    session = engine.open(adapter)
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
    generation = json.loads((tmp_path / "out" / "generation_config.json").read_text())
    assert 2 in generation["eos_token_id"]
    assert generation["temperature"] == 0.5
    assert (tmp_path / "out" / "README.md").read_text() == "# A card\n"


@pytest.mark.slow
def test_a_merge_that_does_nothing_is_refused_and_leaves_no_folder(
    source: Exportable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merging, "_scale", lambda config: 0.0)
    with pytest.raises(ParityError):
        HF(merged=True).export(source, tmp_path / "out")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("exporter", [HF(), HF(merged=True, dtype="bfloat16")], ids=repr)
def test_weights_of_full_fine_tuning_are_exported_whole(
    source: Exportable, tmp_path: Path, exporter: HF
) -> None:
    full = _trained(source.model, source.engine, Full())
    figures = exporter.export(full, tmp_path / "out")
    assert figures["mean_difference_to_base"] > 0.1
    assert not (tmp_path / "out" / "adapter_config.json").exists()


@pytest.mark.slow
def test_an_exported_adapter_is_opened_as_a_run_is(source: Exportable, tmp_path: Path) -> None:
    from customize_torch.backend import CPU

    HF().export(source, tmp_path / "out")
    exact = CPU(dtype="float32")
    opened = customize.open(tmp_path / "out", backend=exact, base=source.model.path)
    wanted = reference_answers(source.session, source.prompts)
    assert [a.tokens for a in reference_answers(opened.customized, source.prompts)] == [
        a.tokens for a in wanted
    ]
    base = [a.tokens for a in reference_answers(opened.base, source.prompts)]
    assert base != [a.tokens for a in wanted]
    with pytest.raises(UnknownName, match=source.model.name):
        customize.open(tmp_path / "out")
    with pytest.raises(OptionError, match="is for exported adapters"):
        customize.open(source.model.path, base=source.model.path)


def test_a_full_disk_leaves_nothing(
    source: Exportable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(HF, "_write", full)
    with pytest.raises(OSError, match="No space"):
        HF().export(source, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_an_adapter_of_a_tied_head_is_not_merged(tmp_path: Path, model: ModelFolder) -> None:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    config = {"r": 2, "lora_alpha": 4}
    (adapter / "adapter_config.json").write_text(json.dumps(config), "utf-8")
    name = "base_model.model.lm_head.lora_{}.weight"
    tensors = {name.format("A"): torch.ones(2, 32), name.format("B"): torch.ones(49152, 2)}
    save_file(tensors, adapter / "adapter_model.safetensors")
    with pytest.raises(ExportError, match="changes lm_head, which shares its weights"):
        merging.merge(model.path, adapter, tmp_path, torch.float32)
