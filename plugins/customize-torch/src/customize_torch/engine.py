"""The engine: a base loaded once, and sessions on it. Knows no method."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from torch import Tensor, nn

from customize import (
    Adapter,
    ChatRenderer,
    Engine,
    Full,
    LoRA,
    ModelError,
    ModelFolder,
    Runtime,
    Session,
    Snapshot,
    Unsupported,
)
from customize_torch import lora, storage
from customize_torch.budget import Budget
from customize_torch.holding import CAPABILITIES, PLAIN, capabilities_of
from customize_torch.kernels import Place
from customize_torch.loading import load
from customize_torch.own_options import OwnOptions
from customize_torch.policy import Policy
from customize_torch.remedies import held, of_adapter, of_base
from customize_torch.runtime import TorchRuntime
from customize_torch.session import TorchSession, TorchSnapshot

_log = logging.getLogger(__name__)
_CONTEXT = 2048  # where a config does not say


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
        own: OwnOptions,
    ) -> None:
        self.renderer = ChatRenderer.from_folder(model.path)
        self.dtype = str(place.dtype).removeprefix("torch.")
        self.capabilities = capabilities_of(type(self).capabilities, place.base)
        self._model = model
        self._budget = Budget(token_budget, own)
        self._base = held(
            lambda: load(model, place, recompute, activation_mb),
            f"the base {model.name}",
            lambda: of_base(own),
        )
        self._plain = Policy(self._base, {})

    def open(self, adapter: Adapter | Path, seed: int = 0) -> Session:
        if isinstance(adapter, Path):
            return self._resume(adapter, seed)
        if isinstance(adapter, Full):
            self._refuse_full()
        return held(
            lambda: self._opened(adapter, seed),
            "what is trained, and its optimizer",
            lambda: of_adapter(adapter),
        )

    def _opened(self, adapter: Adapter, seed: int) -> Session:
        if isinstance(adapter, Full):
            return self._session(adapter, self._all_tensors(), seed)
        layers = {n: self._layer(n) for n in self._base.switchboard.targets(adapter.targets)}
        fresh = lora.fresh(layers, adapter.rank, seed, self._base.place.device)
        below = {} if adapter.on is None else self._below(Path(adapter.on), lora.scale_of(adapter))
        return self._session(adapter, fresh, seed, below)

    def base(self) -> Snapshot:
        return TorchSnapshot(self._plain, self.renderer, self._budget)

    def runtime(self, adapters: Mapping[str, Path]) -> Runtime:
        policies: dict[str | None, Policy] = {None: self._plain}
        for name, folder in adapters.items():
            policies[name] = self._policy(*self._saved(folder))
        return TorchRuntime(policies, self.renderer, self._context())

    def _context(self) -> int:
        """Tokens that the model was made for."""
        config = json.loads((self._model.path / "config.json").read_text("utf-8"))
        return int(config.get("max_position_embeddings") or _CONTEXT)

    def _resume(self, folder: Path, seed: int) -> Session:
        return self._session(*self._saved(folder), seed)

    def _saved(self, folder: Path) -> tuple[Adapter, dict[str, Tensor]]:
        if storage.is_adapter(folder):
            return self._adapter_in(folder)
        self._refuse_full()
        tensors = storage.read_model(folder, self._model.fingerprint)
        wanted = dict(self._base.model.named_parameters())
        return Full(), self._fitting(folder, tensors, wanted)

    def _below(self, folder: Path, scale: float) -> dict[str, Tensor]:
        """The adapter in the folder, as it is under this scale."""
        if not storage.is_adapter(folder):
            raise ModelError(
                f"{folder} holds a whole model, on which no adapter is stacked: name it as the "
                "model, or go on from it with adapter"
            )
        adapter, tensors = self._adapter_in(folder)
        return lora.rescaled(tensors, lora.scale_of(adapter) / scale)

    def _adapter_in(self, folder: Path) -> tuple[LoRA, dict[str, Tensor]]:
        adapter, tensors = storage.read_adapter(folder, self._model.fingerprint)
        before, now = storage.held_in(folder), self._base.place.base
        if before != now:
            _log.warning(
                "%s was trained on a base held as %s, which is %s here: it answers a little "
                "otherwise than where it was trained",
                *(folder, before, now),
            )
        layers, device = self._base.switchboard.layers, self._base.place.device
        wanted = lora.fresh(layers, adapter.rank, 0, device)
        return adapter, self._fitting(folder, tensors, wanted)

    def _fitting(
        self, folder: Path, tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """The tensors where the model computes.

        Raises:
            ModelError: one is not of the model's.
        """
        for name, tensor in tensors.items():
            if name not in wanted or wanted[name].shape != tensor.shape:
                raise ModelError(f"{folder}: {name} does not fit {self._model.name}")
        return {name: tensor.to(self._base.place.device) for name, tensor in tensors.items()}

    def _refuse_full(self) -> None:
        if (base := self._base.place.base) != PLAIN:
            raise Unsupported(
                f"full: weights held in {base} are frozen: train an adapter, or leave out base"
            )

    def _layer(self, name: str) -> nn.Linear:
        return self._base.switchboard.layers[name]

    def _all_tensors(self) -> dict[str, Tensor]:
        return {n: p.detach().float().clone() for n, p in self._base.model.named_parameters()}

    def _session(
        self,
        adapter: Adapter,
        tensors: Mapping[str, Tensor],
        seed: int,
        below: Mapping[str, Tensor] | None = None,
    ) -> Session:
        return TorchSession(
            self._policy(adapter, tensors, below or {}),
            self._plain,
            adapter,
            self._model,
            self.renderer,
            self.capabilities,
            seed,
            self._budget,
        )

    def _policy(
        self,
        adapter: Adapter,
        tensors: Mapping[str, Tensor],
        below: Mapping[str, Tensor] = MappingProxyType({}),
    ) -> Policy:
        scale = lora.scale_of(adapter) if isinstance(adapter, LoRA) else None
        return Policy(self._base, tensors, scale, below)
