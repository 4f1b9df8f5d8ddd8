"""The engine: a base loaded once through transformers, and sessions on it. Knows no method."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM

from customize import (
    Adapter,
    ChatRenderer,
    Engine,
    Full,
    LoRA,
    ModelError,
    ModelFolder,
    Session,
    Snapshot,
)
from customize_torch import attention, lora, storage
from customize_torch.policy import Base, Policy
from customize_torch.recomputing import Recomputing
from customize_torch.session import TorchSession, TorchSnapshot

_log = logging.getLogger(__name__)
CAPABILITIES = frozenset(
    {"forward_backward", "sample", "snapshot", "base", "save", "lora", "full", "peft"}
)
# What a plan does not do, by the key of a configuration that asks for it.
_REFUSED = (
    "attn_logit_softcapping",
    "final_logit_softcapping",
    "logits_scaling",
    "logit_scale",
    "num_local_experts",
    "num_experts",
)
_ATTENTION = frozenset({"full_attention", "sliding_attention"})


class TorchEngine(Engine):
    """One base in one dtype, shared by its sessions."""

    capabilities = CAPABILITIES

    def __init__(
        self,
        model: ModelFolder,
        dtype: torch.dtype,
        token_budget: int,
        recompute: str,
        activation_mb: int,
    ) -> None:
        self.renderer = ChatRenderer.from_folder(model.path)
        self.dtype = str(dtype).removeprefix("torch.")
        self._model = model
        self._budget = token_budget
        self._base = _load(model, dtype, recompute, activation_mb)
        self._plain = Policy(self._base, {})

    def open(self, adapter: Adapter | Path, seed: int = 0) -> Session:
        if isinstance(adapter, Path):
            return self._resume(adapter, seed)
        if isinstance(adapter, Full):
            return self._session(adapter, self._all_tensors(), seed)
        layers = {n: self._layer(n) for n in self._base.switchboard.targets(adapter.targets)}
        return self._session(adapter, lora.fresh(layers, adapter.rank, seed), seed)

    def base(self) -> Snapshot:
        return TorchSnapshot(self._plain, self.renderer, self._budget)

    def _resume(self, folder: Path, seed: int) -> Session:
        chosen: Adapter = Full()
        if storage.is_adapter(folder):
            chosen, tensors = storage.read_adapter(folder, self._model.fingerprint)
            wanted = lora.fresh(self._base.switchboard.layers, chosen.rank, 0)
        else:
            tensors = storage.read_model(folder, self._model.fingerprint)
            wanted = dict(self._base.model.named_parameters())
        for name, tensor in tensors.items():
            if name not in wanted or wanted[name].shape != tensor.shape:
                raise ModelError(f"{folder}: {name} does not fit {self._model.name}")
        return self._session(chosen, tensors, seed)

    def _layer(self, name: str) -> nn.Linear:
        return self._base.switchboard.layers[name]

    def _all_tensors(self) -> dict[str, Tensor]:
        return {n: p.detach().float().clone() for n, p in self._base.model.named_parameters()}

    def _session(self, adapter: Adapter, tensors: Mapping[str, Tensor], seed: int) -> Session:
        scale = lora.scale_of(adapter) if isinstance(adapter, LoRA) else None
        return TorchSession(
            Policy(self._base, tensors, scale),
            self._plain,
            adapter,
            self._model,
            self.renderer,
            self.capabilities,
            seed,
            self._budget,
        )


def _load(model: ModelFolder, dtype: torch.dtype, recompute: str, activation_mb: int) -> Base:
    loaded = _from_transformers(model, dtype)
    _refuse_architecture(model, loaded)
    loaded.eval().requires_grad_(False)
    names = {id(module): name for name, module in loaded.named_modules()}
    head = loaded.get_output_embeddings()
    if head is None or getattr(head, "bias", None) is not None:
        raise ModelError(f"{model.name} has no plain output embedding: it is not supported")
    decoder = loaded.get_decoder()
    switchboard = lora.Switchboard(loaded, head)
    recomputing = Recomputing(decoder, switchboard, recompute, activation_mb)
    return Base(loaded, names[id(decoder)], names[id(head)], switchboard, recomputing)


def _from_transformers(model: ModelFolder, dtype: torch.dtype) -> Any:  # a PreTrainedModel
    try:
        config = AutoConfig.from_pretrained(model.path, local_files_only=True)
        _refuse(model, config)
        loaded, told = AutoModelForCausalLM.from_pretrained(
            model.path,
            dtype=dtype,
            attn_implementation=attention.NAME,
            local_files_only=True,
            output_loading_info=True,
        )
    except ModelError:
        raise
    # A configuration is a stranger's: transformers raises whatever its code runs into.
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise ModelError(f"{model.name} cannot be loaded by transformers: {reason}") from error
    _check_whole(model, told)
    return loaded


def _refuse_architecture(model: ModelFolder, loaded: Any) -> None:
    """Refuse what a plan cannot keep apart, or does not reach: the numbers would be wrong."""
    kind = loaded.config.model_type
    if not loaded._supports_attention_backend:
        raise ModelError(
            f"{model.name} ({kind}) computes its attention in a way of its own, which this engine "
            "cannot replace: use a model whose attention transformers lets one replace"
        )
    others = {*(getattr(loaded.config, "layer_types", None) or ())} - _ATTENTION
    if loaded._is_stateful or others:
        what = f" ({', '.join(sorted(others))})" if others else ""
        raise ModelError(
            f"{model.name} ({kind}) has layers beside attention that carry a state from token to "
            f"token{what}, which this engine does not do yet"
        )


def _check_whole(model: ModelFolder, told: Mapping[str, Any]) -> None:
    """Refuse what transformers would fill with random numbers; tell what it leaves aside."""
    if missing := sorted(told["missing_keys"]):
        raise ModelError(
            f"{model.name} lacks {len(missing)} of the tensors its config.json implies "
            f"({', '.join(missing[:3])}): its files are not all there, or the config is not theirs"
        )
    if unexpected := sorted(told["unexpected_keys"]):
        _log.warning(
            "%s holds %d tensors its architecture does not use (%s): they are left aside",
            model.name,
            len(unexpected),
            ", ".join(unexpected[:3]),
        )


def _refuse(model: ModelFolder, config: object) -> None:
    asked = [key for key in _REFUSED if getattr(config, key, None) not in (None, 1, 1.0)]
    if asked:
        kind = getattr(config, "model_type", "?")
        raise ModelError(
            f"{model.name} ({kind}) needs {', '.join(asked)}, which this engine does not do yet"
        )
