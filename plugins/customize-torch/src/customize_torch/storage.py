"""Files of a session: its exact state, and weights as the rest of the world loads them.

safetensors and JSON only. Knows no engine.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from customize import CheckpointError, LoRA, ModelError
from customize_torch.holding import PLAIN

_PEFT = "base_model.model."
_MODEL = "model.safetensors"
_CONFIG, _ADAPTER, _OURS = "adapter_config.json", "adapter_model.safetensors", "customize.json"


def write_tensors(file: Path, groups: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Tensors of several groups in one file, as ``group/name``."""
    flat = {f"{group}/{name}": t for group, some in groups.items() for name, t in some.items()}
    save_file({k: v.detach().contiguous().clone() for k, v in flat.items()}, file)


def read_tensors(file: Path, device: torch.device) -> dict[str, dict[str, Tensor]]:
    """What ``write_tensors`` wrote.

    Raises:
        CheckpointError: the file is missing.
    """
    if not file.is_file():
        raise CheckpointError(f"{file.parent} lacks {file.name}")
    groups: dict[str, dict[str, Tensor]] = {}
    for key, tensor in load_file(file, str(device)).items():
        group, _, name = key.rpartition("/")
        groups.setdefault(group, {})[name] = tensor
    return groups


def read_json(file: Path) -> dict[str, Any]:
    """Raises CheckpointError when the file is missing or is no JSON object."""
    if not file.is_file():
        raise CheckpointError(f"{file.parent} lacks {file.name}")
    try:
        value = json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{file} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{file} holds {type(value).__name__}, not an object")
    return value


def write_adapter(
    folder: Path,
    adapter: LoRA,
    tensors: Mapping[str, Tensor],
    layers: list[str],
    base: str,
    held: str,
) -> None:
    """PEFT's format, and beside it the fingerprint of the base it belongs to, and how that was
    held.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": None,
        "r": adapter.rank,
        "lora_alpha": adapter.alpha,
        "use_rslora": adapter.rslora,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "target_modules": _targets(adapter, layers),
    }
    (folder / _CONFIG).write_text(json.dumps(config, indent=1), "utf-8")
    told = {"base": base} if held == PLAIN else {"base": base, "held": held}
    (folder / _OURS).write_text(json.dumps(told), "utf-8")
    named = {f"{_PEFT}{name}": t.detach().contiguous() for name, t in tensors.items()}
    save_file(named, folder / _ADAPTER, metadata={"format": "pt"})


def read_adapter(folder: Path, base: str) -> tuple[LoRA, dict[str, Tensor]]:
    """An adapter in PEFT's format.

    Raises:
        ModelError: it was made for another base, or uses what is not supported.
        CheckpointError: a file is missing.
    """
    config = read_json(folder / _CONFIG)
    _refuse_unknown(folder, config)
    _refuse_base(folder, base)
    if not (folder / _ADAPTER).is_file():
        raise CheckpointError(f"{folder} lacks {_ADAPTER}")
    tensors = {k.removeprefix(_PEFT): v.float() for k, v in load_file(folder / _ADAPTER).items()}
    targets = config.get("target_modules") or []
    adapter = LoRA(
        rank=int(config["r"]),
        alpha=float(config["lora_alpha"]),
        rslora=bool(config.get("use_rslora", False)),
        targets=targets if isinstance(targets, str) else tuple(targets),
    )
    return adapter, tensors


def held_in(folder: Path) -> str:
    """How the base was held that an adapter was trained on; plain where nothing says."""
    if not (folder / _OURS).is_file():
        return PLAIN
    return str(read_json(folder / _OURS).get("held", PLAIN))


def is_adapter(folder: Path) -> bool:
    """Whether the folder holds an adapter, not a whole model."""
    return (folder / _CONFIG).is_file() or not (folder / _MODEL).is_file()


def read_model(folder: Path, base: str) -> dict[str, Tensor]:
    """All weights as ``write_model`` wrote them, float32.

    Raises:
        ModelError: they began as another base.
    """
    _refuse_base(folder, base)
    return {name: tensor.float() for name, tensor in load_file(folder / _MODEL).items()}


def write_model(folder: Path, source: Path, tensors: Mapping[str, Tensor], base: str) -> None:
    """All weights, with the configuration, tokenizer and template of the model they began as."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in source.iterdir():
        if file.suffix in (".json", ".jinja") and "safetensors" not in file.name:
            (folder / file.name).write_bytes(file.read_bytes())
    unique = {k: v.detach().contiguous().clone() for k, v in tensors.items()}
    (folder / _OURS).write_text(json.dumps({"base": base}), "utf-8")
    save_file(unique, folder / _MODEL, metadata={"format": "pt"})


def _refuse_base(folder: Path, base: str) -> None:
    if (folder / _OURS).is_file() and read_json(folder / _OURS).get("base") != base:
        raise ModelError(
            f"{folder} was trained on another base model: open it with the one it was made from"
        )


def _targets(adapter: LoRA, layers: list[str]) -> list[str]:
    """Names, never one text: PEFT takes a text for a regular expression."""
    if adapter.targets == "all-linear":
        return sorted({layer.rsplit(".", 1)[-1] for layer in layers})
    return [adapter.targets] if isinstance(adapter.targets, str) else list(adapter.targets)


def _refuse_unknown(folder: Path, config: Mapping[str, Any]) -> None:
    wrong = [
        k for k in ("use_dora", "modules_to_save", "rank_pattern", "alpha_pattern") if config.get(k)
    ]
    if config.get("peft_type") != "LORA":
        wrong.append(f"peft_type {config.get('peft_type')!r}")
    if config.get("bias", "none") != "none":
        wrong.append("bias")
    if wrong:
        raise ModelError(f"the adapter in {folder} uses {', '.join(wrong)}: only LoRA is supported")
