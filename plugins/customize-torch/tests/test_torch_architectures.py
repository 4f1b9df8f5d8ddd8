"""Families of models: the same numbers as transformers' own forward, or refused by name."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from customize import (
    AdamW,
    Batch,
    CrossEntropy,
    LoRA,
    ModelError,
    ModelFolder,
    OptionError,
    Prompt,
    Sampling,
)
from customize_torch.backend import CPU

# By whatever name a configuration knows them; those that one lacks are left out.
SMALL: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 256,
    "sliding_window": 8,
    "n_embd": 32,
    "n_layer": 2,
    "n_head": 4,
    "n_positions": 256,
    "ffn_dim": 48,
    "word_embed_proj_dim": 32,
    "state_size": 4,
    "pad_token_id": 0,
    "bos_token_id": 256,
    "eos_token_id": 257,
}
GREEDY = Sampling(max_tokens=6, temperature=0.0, stop_tokens=())


def made(kind: str, tiny: ModelFolder, folder: Path, **keys: object) -> ModelFolder:
    """A random model of a family, with weights large enough that every part matters."""
    known = transformers.AutoConfig.for_model(kind).to_dict()
    chosen = {key: value for key, value in SMALL.items() if key in known}
    config = transformers.AutoConfig.for_model(kind, vocab_size=260, **chosen, **keys)
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(tiny.path / name, folder / name)
    return ModelFolder(folder, kind, kind)


def rows() -> Batch:
    rng = np.random.default_rng(0)
    return Batch.from_sequences(
        [(rng.integers(1, 250, n), {"weights": np.ones(n)}) for n in (5, 23, 9, 40)]
    )


FAMILIES = [
    "gemma3_text",
    "gpt_neox",
    "mistral",
    "olmo2",
    "opt",
    "phi3",
    "qwen2",
    "qwen3",
    "smollm3",
]


@pytest.mark.slow
@pytest.mark.parametrize("kind", FAMILIES)
def test_rows_side_by_side_give_what_each_gives_alone_through_transformers(
    kind: str, model: ModelFolder, tmp_path: Path
) -> None:
    folder = made(kind, model, tmp_path)
    plain = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32).eval()
    engine, batch = CPU(dtype="float32").load(folder), rows()
    got = engine.base().forward(batch).result()
    prompts = [Prompt(batch.take([i]).tokens) for i in range(batch.num_sequences)]
    said = engine.base().sample(prompts, GREEDY).result()
    for i, (completion,) in enumerate(said):
        tokens = torch.from_numpy(np.concatenate([prompts[i].tokens, completion.tokens]))
        tokens, start = tokens.long(), len(prompts[i].tokens)
        with torch.no_grad():
            logits = plain(tokens[None]).logits[0, :-1]
        wanted = logits.log_softmax(-1).gather(1, tokens[1:, None])[:, 0].numpy()
        np.testing.assert_allclose(got[batch.positions_of([i])][1:], wanted[: start - 1], atol=1e-4)
        margin = (logits.amax(-1) - logits.gather(1, tokens[1:, None])[:, 0])[start - 1 :]
        assert margin.max() < 1e-4
    session = engine.open(LoRA(rank=2))
    session.forward_backward(batch, CrossEntropy())
    assert session.optim_step(AdamW()).result() > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "keys", "told"),
    [
        ("bloom", {}, "attention in a way of its own"),
        ("mamba", {}, "(attention in a way of its own|carry a state)"),
        ("lfm2", {"layer_types": ["conv", "full_attention"]}, r"carry a state .*\(conv\)"),
        ("gemma2", {}, "attn_logit_softcapping"),
    ],
)
def test_what_would_give_wrong_numbers_is_refused(
    kind: str, keys: dict[str, object], told: str, model: ModelFolder, tmp_path: Path
) -> None:
    folder = made(kind, model, tmp_path, **keys)
    with pytest.raises(ModelError, match=told):
        CPU(dtype="float32").load(folder)


@pytest.mark.slow
def test_a_model_without_plain_linear_layers_wants_full(model: ModelFolder, tmp_path: Path) -> None:
    engine = CPU(dtype="float32").load(made("gpt2", model, tmp_path))
    with pytest.raises(OptionError, match="adapter=full"):
        engine.open(LoRA())
