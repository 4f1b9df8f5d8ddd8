"""Tiny random models, and the GGUF that llama.cpp's converter would make of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import transformers
from gguf_writer import Stored, f32
from tokenizers.pre_tokenizers import ByteLevel

ALPHABET = sorted(ByteLevel.alphabet())
MERGES = [("h", "e"), ("l", "l"), ("he", "ll"), ("Ġ", "a"), ("1", "2"), ("hell", "o"), ("Ġ", "Ġ")]
TOKENS = ["<|end|>", "<|start|>", *ALPHABET, *("".join(merge) for merge in MERGES)]
SIZES = {
    "vocab_size": len(TOKENS),
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "rms_norm_eps": 1e-5,
    "rope_theta": 50_000.0,
}
FAMILIES: dict[str, tuple[Callable[..., Any], dict[str, object]]] = {
    "llama": (transformers.LlamaConfig, {"tie_word_embeddings": False}),
    "qwen2": (transformers.Qwen2Config, {"tie_word_embeddings": True}),
    "qwen3": (transformers.Qwen3Config, {"tie_word_embeddings": True, "head_dim": 16}),
}
PARTS = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def tiny_model(family: str) -> Any:
    torch.manual_seed(0)
    make, extra = FAMILIES[family]
    build: Any = transformers.AutoModelForCausalLM
    model = build.from_config(make(**SIZES, **extra))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.2)
    return model.float().eval()


def vocabulary(pre: str) -> dict[str, object]:
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": pre,
        "tokenizer.ggml.tokens": TOKENS,
        "tokenizer.ggml.token_type": [3, 3, *([1] * (len(TOKENS) - 2))],
        "tokenizer.ggml.merges": [" ".join(merge) for merge in MERGES],
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 0,
        "tokenizer.chat_template": "{{ messages[0]['content'] }}",
    }


def metadata(family: str, pre: str = "smollm") -> dict[str, object]:
    said: dict[str, object] = {
        "general.architecture": family,
        f"{family}.block_count": SIZES["num_hidden_layers"],
        f"{family}.context_length": SIZES["max_position_embeddings"],
        f"{family}.embedding_length": SIZES["hidden_size"],
        f"{family}.feed_forward_length": SIZES["intermediate_size"],
        f"{family}.attention.head_count": SIZES["num_attention_heads"],
        f"{family}.attention.head_count_kv": SIZES["num_key_value_heads"],
        f"{family}.attention.layer_norm_rms_epsilon": SIZES["rms_norm_eps"],
        f"{family}.rope.freq_base": SIZES["rope_theta"],
    }
    if family == "qwen3":
        said["qwen3.attention.key_length"] = 16
    return said | vocabulary(pre)


def interleave(rows: npt.NDArray[np.float32], num_heads: int) -> npt.NDArray[np.float32]:
    """llama.cpp's ``LlamaModel.permute``."""
    halves = rows.reshape(num_heads, 2, rows.shape[0] // num_heads // 2, *rows.shape[1:])
    return halves.swapaxes(1, 2).reshape(rows.shape)


def tensors(family: str, model: Any) -> dict[str, Stored]:
    stored: dict[str, Stored] = {}
    for name, value in model.state_dict().items():
        values = value.numpy()
        if family == "llama" and "q_proj" in name:
            values = interleave(values, 4)
        if family == "llama" and "k_proj" in name:
            values = interleave(values, 2)
        if name == "lm_head.weight" and family != "llama":
            continue  # tied
        stored[gguf_name(name)] = f32(values)
    return stored


def gguf_name(name: str) -> str:
    outer = {
        "model.embed_tokens.weight": "token_embd.weight",
        "model.norm.weight": "output_norm.weight",
        "lm_head.weight": "output.weight",
    }
    if name in outer:
        return outer[name]
    layer, part = name.removeprefix("model.layers.").split(".", 1)
    stem, kind = part.rsplit(".", 1)
    return f"blk.{layer}.{PARTS[stem]}.{kind}"
