"""The engine: a base loaded once, and sessions on it. Knows no method."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

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
from customize_torch import lora, storage
from customize_torch.budget import Budget
from customize_torch.kernels import Place
from customize_torch.loading import load
from customize_torch.policy import Policy
from customize_torch.session import TorchSession, TorchSnapshot

CAPABILITIES = frozenset(
    {"forward_backward", "sample", "snapshot", "base", "save", "lora", "full", "peft"}
)


class TorchEngine(Engine):
    """One base in one dtype, shared by its sessions."""

    capabilities = CAPABILITIES

    def __init__(
        self,
        model: ModelFolder,
        place: Place,
        token_budget: int,
        recompute: str,
        activation_mb: int,
    ) -> None:
        self.renderer = ChatRenderer.from_folder(model.path)
        self.dtype = str(place.dtype).removeprefix("torch.")
        self._model = model
        self._budget = Budget(token_budget)
        self._base = load(model, place, recompute, activation_mb)
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
        here = {name: tensor.to(self._base.place.device) for name, tensor in tensors.items()}
        return self._session(chosen, here, seed)

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
