"""A tiny random llama in a folder, with a tokenizer of bytes, made anew: no weights are kept."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM

from customize import Batch, Engine, ModelFolder
from customize_torch.backend import CPU

TEMPLATE = (
    "{% for m in messages %}<s>{{ m.role }}\n"
    "{% generation %}{{ m.content }}</s>{% endgeneration %}{% endfor %}"
    "{% if add_generation_prompt %}<s>assistant\n{% endif %}"
)
VOCABULARY = 260


def write_model(folder: Path, seed: int = 0, tied: bool = True) -> ModelFolder:
    """Two layers, grouped keys, float32."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        initializer_range=0.2,
        tie_word_embeddings=tied,
        eos_token_id=257,
        bos_token_id=256,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({c: i for i, c in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<s>", "</s>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"chat_template": TEMPLATE, "eos_token": "</s>", "bos_token": "<s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return ModelFolder(folder, "tiny", f"tiny-{seed}-{tied}")


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    return write_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def engine(model: ModelFolder) -> Engine:
    return CPU(dtype="float32", token_budget=64).load(model)


@pytest.fixture(scope="session")
def other(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """Another base, whose head is a tensor of its own."""
    folder = tmp_path_factory.mktemp("other")
    return CPU(dtype="float32").load(write_model(folder, seed=1, tied=False))


@pytest.fixture(scope="session")
def plain(model: ModelFolder) -> LlamaForCausalLM:
    """The same weights through transformers alone."""
    return LlamaForCausalLM.from_pretrained(model.path, dtype=torch.float32).eval()


@pytest.fixture
def batch() -> Batch:
    rng = np.random.default_rng(0)
    rows = []
    for length in (5, 17, 2, 30, 11, 40):
        weights = rng.uniform(0.2, 1, length) * (rng.random(length) < 0.7)
        weights[-1] = 1.0
        rows.append((rng.integers(0, 250, length), {"weights": weights}))
    return Batch.from_sequences(rows, groups=[0, 0, 1, 1, 2, 2])
