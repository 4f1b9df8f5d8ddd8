"""A base whose layers lie in pieces over the members, by FSDP2; each is whole while it computes.

Adapters are no parameters of the model: they are whole in every member, and FSDP has no gradient to
reduce. Every pass gathers the layers one after the other, so all members take equally many passes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import attrs
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from customize import Adapter, Batch, Full, ModelFolder, Session, Smaller, Unsupported
from customize_torch.budget import Budget, Rows
from customize_torch.cutting import Longs, pieces
from customize_torch.engine import TorchEngine
from customize_torch.few_rows import Packing
from customize_torch.group.each import WITHOUT
from customize_torch.holding import CAPABILITIES, PLAIN
from customize_torch.kernels import Place
from customize_torch.own_options import OwnOptions
from customize_torch.policy import Base, Policy
from customize_torch.remedies import held, of_training

T = TypeVar("T")


class ShardedEngine(TorchEngine):
    """One base over all members. Embedding, last norm and head are whole in each."""

    capabilities = CAPABILITIES - WITHOUT

    def __init__(
        self,
        model: ModelFolder,
        place: Place,
        token_budget: int,
        recompute: str,
        activation_mb: int,
        own: OwnOptions,
    ) -> None:
        if place.base != PLAIN:
            raise Unsupported(
                f"a base in {place.base} is whole in every process: leave out shard, or base"
            )
        when = "always" if recompute == "auto" else recompute
        on_host = attrs.evolve(place, device=torch.device("cpu"))
        own = _of_sharded(own, when)
        super().__init__(model, on_host, token_budget, when, activation_mb, own)
        self._budget = _Fixed(token_budget, own)
        head = self._base.model.get_submodule(self._base.head_name)
        assert isinstance(head, nn.Linear)
        held(
            lambda: _shard(self._base, place.device),
            f"this process's piece of the base {model.name}",
            lambda: iter(["more processes"]),
        )
        place = attrs.evolve(place, sharded=True)
        self._base = attrs.evolve(self._base, place=place, packing=Packing({}, head))
        self._plain = Policy(self._base, {})

    def _session(
        self,
        adapter: Adapter,
        tensors: Mapping[str, Tensor],
        seed: int,
        below: Mapping[str, Tensor] | None = None,
    ) -> Session:
        if isinstance(adapter, Full):
            raise Unsupported(
                "a sharded base is not trained itself: leave out shard, or train an adapter"
            )
        return super()._session(adapter, tensors, seed, below)


class _Fixed(Budget):
    """No smaller pieces in one member alone: the others would wait for it."""

    def spend(
        self,
        batch: Batch,
        by_group: bool,
        compute: Callable[[list[Longs]], T],
        adapter: Adapter | None = None,
    ) -> T:
        longest = int(batch.lengths.max())
        return held(
            lambda: compute(list(pieces(batch, self.tokens, by_group))),
            f"{self.tokens} tokens at once (the longest sequence has {longest})",
            lambda: of_training(self.own, adapter, longest),
        )

    def holds(self, draw: Callable[[], None], rows: Rows) -> bool:
        draw()
        return True


def _of_sharded(own: OwnOptions, recompute: str) -> OwnOptions:
    """A rounded base is not held in pieces, and what is computed again already is no help."""

    def helps(one: Smaller) -> bool:
        return one.exact and (one.option != "recompute" or recompute != "always")

    def smaller(largest: int) -> list[Smaller]:
        return [one for one in own.smaller(largest) if helps(one)]

    return attrs.evolve(own, smaller=smaller)


def _shard(base: Base, device: torch.device) -> None:
    """Layer by layer, so that a device never holds more than one of them whole."""
    mesh = init_device_mesh(device.type, (dist.get_world_size(),))
    inside = {id(module) for layer in base.layers for module in layer.modules()}
    whole: set[nn.Parameter] = set()
    for module in base.model.modules():
        if id(module) not in inside:
            _move(module, device)
            whole.update(module.parameters(recurse=False))
    for layer in base.layers:
        fully_shard(layer, mesh=mesh, reshard_after_forward=True)
    fully_shard(base.decoder, mesh=mesh, ignored_params=whole)


def _move(module: nn.Module, device: torch.device) -> None:
    """What the module itself holds; tied parameters stay tied."""
    for parameter in module.parameters(recurse=False):
        parameter.data = parameter.data.to(device)
    for name, buffer in module.named_buffers(recurse=False):
        setattr(module, name, buffer.to(device))
