"""A model for tests: a small random llama in a folder. Needs no transformers, no torch.

Its vocabulary is 256: the bytes that occur in UTF-8, one pair of them, and control tokens. So it
also fits the toy backend's table. Text is cut as GPT-2 cuts it, which every format can say.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from customize.interfaces.model import ModelFolder
from customize.models import resolve

VOCABULARY = 256
_BEGIN, _END = "<|begin|>", "<|end|>"
_PAIR = ("t", "w")
_TEMPLATE = (
    "{% for m in messages %}<|begin|>{{ m.role }}\n"
    "{% if m.role == 'assistant' %}{% generation %}{{ m.content }}<|end|>{% endgeneration %}"
    "{% else %}{{ m.content }}<|end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|begin|>assistant\n{% endif %}"
)
_CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "hidden_act": "silu",
    "max_position_embeddings": 512,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": True,
    "dtype": "float32",
}


def write_tiny_model(
    folder: Path, seed: int = 0, num_layers: int = 2, rounded: bool = False
) -> ModelFolder:
    """Write the model into ``folder``, which is made, and say which one exactly it is.

    rounded: to numbers that bfloat16 holds, as models are published.
    """
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    ids = _write_tokenizer(folder)
    ends = {"bos_token_id": ids[_BEGIN], "eos_token_id": ids[_END]}
    config = {**_CONFIG, "num_hidden_layers": num_layers, **ends}
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    (folder / "generation_config.json").write_text(json.dumps(ends), "utf-8")
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "chat_template": _TEMPLATE,
        "bos_token": _BEGIN,
        "eos_token": _END,
        "pad_token": _END,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), "utf-8")
    weights = _weights(seed, num_layers)
    if rounded:
        weights = {name: _rounded(tensor) for name, tensor in weights.items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return resolve(folder)


def _write_tokenizer(folder: Path) -> Mapping[str, int]:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    never = {0xC0, 0xC1, *range(0xF5, 0x100)}
    letters = [_letter(byte) for byte in range(256) if byte not in never]
    tokens = [*letters, "".join(_PAIR)]
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, [_PAIR]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    spare = [f"<|spare {i}|>" for i in range(VOCABULARY - len(tokens) - 2)]
    tokenizer.add_special_tokens([_BEGIN, _END, *spare])
    tokenizer.save(str(folder / "tokenizer.json"))
    return {_BEGIN: len(tokens), _END: len(tokens) + 1}


def _letter(byte: int) -> str:
    """How byte-level tokenizers spell a byte (GPT-2's table)."""
    shown = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    if byte in shown:
        return chr(byte)
    hidden = [b for b in range(256) if b not in shown]
    return chr(256 + hidden.index(byte))


def _weights(seed: int, num_layers: int) -> dict[str, npt.NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    width, inner, kv = 32, 48, 16
    shapes = {
        "self_attn.q_proj": (width, width),
        "self_attn.k_proj": (kv, width),
        "self_attn.v_proj": (kv, width),
        "self_attn.o_proj": (width, width),
        "mlp.gate_proj": (inner, width),
        "mlp.up_proj": (inner, width),
        "mlp.down_proj": (width, inner),
    }
    tensors = {"model.embed_tokens.weight": rng.normal(0, 0.2, (VOCABULARY, width))}
    tensors["model.norm.weight"] = rng.uniform(0.8, 1.2, width)
    for layer in range(num_layers):
        prefix = f"model.layers.{layer}"
        for norm in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"{prefix}.{norm}.weight"] = rng.uniform(0.8, 1.2, width)
        for name, shape in shapes.items():
            tensors[f"{prefix}.{name}.weight"] = rng.normal(0, 0.2, shape)
    return {name: tensor.astype(np.float32) for name, tensor in tensors.items()}


def _rounded(tensor: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """To the nearest that keeps the upper half of its bits, which is what bfloat16 is."""
    return ((tensor.view(np.uint32) + 0x8000) & 0xFFFF0000).astype(np.uint32).view(np.float32)
