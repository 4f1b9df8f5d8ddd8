"""Checks of a folder that somebody else made: no code, no pickle, no absurd sizes.

The loaders of the field run code that a configuration names: `auto_map` by design, and by
oversight keys such as `_attn_implementation_internal` (CVE-2026-4372). Everything here is
refused by name before any loader sees the folder. Knows nothing of tensors.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from customize._errors import ModelError

# A configuration is arbitrary JSON; Any is its type.
Json = dict[str, Any]

_MAX_JSON_BYTES = 16 << 20
_MAX_DEPTH = 32

_CODE_HOOKS = {"auto_map", "custom_generate", "custom_pipelines", "trust_remote_code"}
_PRIVATE = {
    "_attn_implementation_autoset",
    "_commit_hash",
    "_from_model_config",
    "_load_in_4bit",
    "_load_in_8bit",
    "_name_or_path",
}
_IMPLEMENTATIONS = {"attn_implementation", "experts_implementation"}
# The others may fetch kernels, which are code, from a hub.
_BUILT_IN = {None, "eager", "sdpa", "flex_attention"}
_QUANTIZERS = {"awq", "bitsandbytes", "compressed-tensors", "fp8", "gptq", "mxfp4"}
_LARGEST = {
    "head_dim": 1 << 14,
    "hidden_size": 1 << 20,
    "intermediate_size": 1 << 22,
    "max_position_embeddings": 1 << 31,
    "num_attention_heads": 1 << 14,
    "num_experts": 1 << 16,
    "num_hidden_layers": 1 << 12,
    "num_key_value_heads": 1 << 14,
    "num_local_experts": 1 << 16,
    "vocab_size": 1 << 24,
}
_SETTINGS = ("tokenizer_config.json", "generation_config.json", "processor_config.json")


def read_json(path: Path) -> Json:
    """The JSON object in a file of at most 16 MiB.

    Raises:
        ModelError: it is missing, too large, too deep, or not one JSON object.
    """
    try:
        if path.stat().st_size > _MAX_JSON_BYTES:
            raise ModelError(f"{path} is larger than 16 MiB, which no configuration is")
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelError(f"{path} is missing") from error
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"{path} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ModelError(f"{path} must hold a JSON object (it holds a {type(value).__name__})")
    return value


def checked_config(folder: Path) -> Json:
    """config.json, after checking it and the other settings beside it.

    Raises:
        ModelError: one of them names code to run, or config.json is damaged or absurd.
    """
    path = folder / "config.json"
    config = read_json(path)
    if not isinstance(config.get("model_type"), str):
        raise ModelError(f"{path} names no model_type; only transformers models can be loaded")
    for key, value in _items(config, path):
        _check_hook(key, path)
        _check_private(key, value, path)
        _check_quantizer(key, value, path)
        _check_size(key, value, path)
    for settings in (folder / name for name in _SETTINGS):
        if settings.is_file():
            for key, _ in _items(read_json(settings), settings):
                _check_hook(key, settings)
    return config


def _items(value: object, path: Path, depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Every key with its value, at every depth."""
    if depth > _MAX_DEPTH:
        raise ModelError(f"{path} is nested deeper than {_MAX_DEPTH} levels")
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key, inner
            yield from _items(inner, path, depth + 1)
    if isinstance(value, list):
        for inner in value:
            yield from _items(inner, path, depth + 1)


def _check_hook(key: str, path: Path) -> None:
    if key in _CODE_HOOKS:
        raise ModelError(
            f"{path} sets {key!r}, which runs code that comes with the model; this is never done. "
            "Use a model of an architecture that transformers has itself, or remove the key if "
            "transformers supports this one by now"
        )


def _check_private(key: str, value: object, path: Path) -> None:
    name = key.lstrip("_")
    if name in _IMPLEMENTATIONS:
        if isinstance(value, (dict, list)) or value not in _BUILT_IN:
            raise ModelError(
                f"{path} sets {key!r} to {value!r}, which may load a kernel as code; remove the key"
            )
        return
    if key.startswith("_") and key not in _PRIVATE:
        raise ModelError(
            f"{path} sets the private key {key!r}, which can make a loader run code; remove the key"
        )
    if "kernel" in name and isinstance(value, (str, dict, list)) and not _is_numbers(value):
        raise ModelError(f"{path} names a kernel to load as code in {key!r}; remove the key")


def _is_numbers(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, (int, float)) for item in value)


def _check_quantizer(key: str, value: object, path: Path) -> None:
    if key != "quantization_config" or value is None:
        return
    method = value.get("quant_method") if isinstance(value, dict) else value
    if not isinstance(method, str) or method not in _QUANTIZERS:
        raise ModelError(
            f"{path} asks for the quantizer {method!r}; only {', '.join(sorted(_QUANTIZERS))} are "
            "accepted from a model"
        )


def _check_size(key: str, value: object, path: Path) -> None:
    if key not in _LARGEST or value is None or isinstance(value, (dict, list)):
        return
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _LARGEST[key]:
        raise ModelError(f"{path}: {key} must be 0 to {_LARGEST[key]} (got {value!r})")
