"""Tiny random models of every family, adapters for them, and exports as the core makes packages."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from customize import ChatRenderer, Exportable, Manifest, ModelFolder
from customize_onnx.exporter import ONNX

VOCABULARY = 260
TEMPLATE = (
    "{% for m in messages %}<s>{{ m.role }}\n"
    "{% generation %}{{ m.content }}</s>{% endgeneration %}{% endfor %}"
    "{% if add_generation_prompt %}<s>assistant\n{% endif %}"
)
SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 256,
    "rope_theta": 5_000.0,
    "pad_token_id": 0,
    "bos_token_id": 256,
    "eos_token_id": 257,
}
_STRETCHED = {"rope_theta": 5_000.0, "rope_type": "linear", "factor": 4.0}
_LLAMA3 = {
    "rope_theta": 5_000.0,
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
_HALF = ["sliding_attention", "full_attention", "sliding_attention"]
_BOTH = {
    "sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
    "full_attention": {"rope_type": "linear", "rope_theta": 5_000.0, "factor": 2.0},
}
# By name: the family, and what differs from SIZES.
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {"tie_word_embeddings": False}),
    "llama, long": ("llama", {"max_position_embeddings": 1024, "num_hidden_layers": 2}),
    "llama, tied": ("llama", {"tie_word_embeddings": True}),
    "llama, biases": ("llama", {"attention_bias": True, "mlp_bias": True}),
    "llama, linear": ("llama", {"rope_parameters": _STRETCHED}),
    "llama, llama3": ("llama", {"rope_parameters": _LLAMA3}),
    "qwen2": ("qwen2", {"tie_word_embeddings": True}),
    "qwen2, window": (
        "qwen2",
        {"use_sliding_window": True, "sliding_window": 5, "layer_types": _HALF},
    ),
    "qwen3": ("qwen3", {"tie_word_embeddings": True, "head_dim": 32}),
    "mistral": ("mistral", {"sliding_window": None}),
    "mistral, window": ("mistral", {"sliding_window": 5}),
    "gemma": ("gemma", {}),
    "gemma3_text": (
        "gemma3_text",
        {
            "sliding_window": 5,
            "layer_types": _HALF,
            "rope_parameters": _BOTH,
            "query_pre_attn_scalar": 30,
        },
    ),
    "phi3": ("phi3", {}),
    "phi3, window": ("phi3", {"sliding_window": 5}),
}


def write_model(folder: Path, kind: str, dtype: str = "float32") -> ModelFolder:
    """Weights large enough that every part matters, with a tokenizer of bytes."""
    family, keys = KINDS[kind]
    config = transformers.AutoConfig.for_model(family, **(SIZES | keys))
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0 if parameter.dim() > 1 else 0.5, 0.2)
    model.to(getattr(torch, dtype)).save_pretrained(folder)
    write_tokenizer(folder)
    return ModelFolder(folder, kind, kind)


def write_tokenizer(folder: Path) -> None:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({c: i for i, c in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<s>", "</s>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"chat_template": TEMPLATE, "eos_token": "</s>", "bos_token": "<s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def write_adapter(
    folder: Path,
    model: ModelFolder,
    seed: int,
    rank: int,
    on: str | list[str] = "all-linear",
    **more: Any,
) -> Path:
    """A LoRA written by PEFT, far from zero."""
    import peft

    config = peft.LoraConfig(r=rank, lora_alpha=3 * rank, target_modules=on, **more)
    adapted = peft.get_peft_model(plain(model), config)
    torch.manual_seed(seed)
    for name, parameter in adapted.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    adapted.save_pretrained(folder)
    return folder


def plain(model: ModelFolder) -> Any:  # a model of transformers
    """The model as transformers computes it, in float32."""
    return transformers.AutoModelForCausalLM.from_pretrained(
        model.path, dtype=torch.float32, attn_implementation="eager"
    ).eval()


def adapted(model: ModelFolder, adapter: Path) -> Any:  # PEFT's around it
    import peft

    return peft.PeftModel.from_pretrained(plain(model), str(adapter)).eval()


def export(
    model: ModelFolder, to: Path, adapter: Path | None = None, name: str = "a", **options: Any
) -> Path:
    """A package's folder, as far as an exporter and the tokenizer make one."""
    renderer = ChatRenderer.from_folder(model.path)
    source = Exportable(name, model, adapter or model.path, renderer)
    exporter = ONNX(**options)
    exporter.check(source)
    to.mkdir()
    exporter.write(source, to)
    for file in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        shutil.copyfile(model.path / file, to / file)
    about: dict[str, Any] = {
        "format": "customize-onnx:onnx",
        "precision": exporter.precision,
        "name": name,
        "needs_base": False,
        "base": {"name": model.name, "fingerprint": model.fingerprint, "revision": None},
        "weights": name,
        "is_adapter": source.is_adapter,
        "holds_adapter": source.is_adapter and not exporter.merged,
        "stop_tokens": renderer.stop_tokens,
        **{key: {} for key in ("options", "parity", "how_to_run", "run", "files")},
    }
    Manifest(**about).write(to)
    return to
