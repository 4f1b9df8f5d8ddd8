"""LoRA: tensors of our own in PEFT's rules, and a linear layer that makes no needless gradient.

``y = x Wᵀ + s · (x Aᵀ) Bᵀ`` with W frozen (arXiv 2106.09685). Knows no session and no file.

Shape legend: N tokens, I inputs, O outputs, R rank.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import attrs
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own convention
from torch import Tensor, nn

from customize import LoRA, OptionError
from customize_torch import quantized
from customize_torch.quantized import Held


@attrs.frozen(eq=False)
class Update:
    """One layer's A [R, I] and B [O, R], float32, the same as computed with, and their scale."""

    a_RI: Tensor
    b_OR: Tensor
    rounded: tuple[Tensor, Tensor]
    scale: float


def linear_layers(model: nn.Module, head: nn.Module) -> dict[str, nn.Linear]:
    """By name, all that an adapter may be on: every plain one but the head."""
    return {
        name: module
        for name, module in model.named_modules()
        if type(module) is nn.Linear and module is not head
    }


class Switchboard:
    """The base's linear layers, each asking which session's update is in force.

    held: by layer, the weights that are not whole in it.
    """

    def __init__(self, layers: Mapping[str, nn.Linear], held: Mapping[str, Held]) -> None:
        self.layers = layers
        self.held = held
        self._updates: Mapping[str, Update] = {}
        for name, module in layers.items():
            module.forward = partial(self._one, name)

    def together(self, names: Sequence[str], x: Tensor) -> Sequence[Tensor]:
        """What layers that read one input make of it."""
        updates = [self._updates.get(name) for name in names]
        # On a GPU an update may better be computed with its layer: see ``_worth_joining``.
        if x.is_cuda or None in updates:
            return [self.layers[name](x) for name in names]
        return self._updated(names, x)

    def _one(self, name: str, x: Tensor) -> Tensor:
        module, held = self.layers[name], self.held.get(name)
        if name in self._updates:
            return self._updated([name], x)[0]
        if held is not None:
            return quantized.linear(x, held, module.bias)
        return F.linear(x, module.weight, module.bias)

    def _updated(self, names: Sequence[str], x: Tensor) -> Sequence[Tensor]:
        updates = [self._updates[name] for name in names]
        layers = [(self.layers[name], self.held.get(name)) for name in names]
        frozen = [(held or layer.weight, layer.bias) for layer, held in layers]
        factors = [factor for update in updates for factor in (update.a_RI, update.b_OR)]
        rounded = [update.rounded for update in updates]
        outs: Sequence[Tensor] = _Linears.apply(x, frozen, rounded, updates[0].scale, *factors)
        return outs

    @property
    def in_force(self) -> Mapping[str, Update]:
        """By layer; empty for the base."""
        return self._updates

    @contextmanager
    def using(self, updates: Mapping[str, Update]) -> Iterator[None]:
        """These updates are in force inside; none of another session's."""
        before, self._updates = self._updates, updates
        try:
            yield
        finally:
            self._updates = before

    def targets(self, wanted: str | tuple[str, ...]) -> list[str]:
        """The layers an adapter's ``targets`` name.

        Raises:
            OptionError: a name fits no layer; the message has those that there are.
        """
        if not self.layers:
            raise OptionError("this model has no plain linear layer to adapt: set adapter=full")
        if wanted == "all-linear":
            return list(self.layers)
        names = (wanted,) if isinstance(wanted, str) else wanted
        for name in names:
            if not any(_fits(layer, name) for layer in self.layers):
                have = ", ".join(sorted({layer.rsplit(".", 1)[-1] for layer in self.layers}))
                raise OptionError(f"no linear layer is called {name!r}: there are {have}")
        return [layer for layer in self.layers if any(_fits(layer, name) for name in names)]


def scale_of(adapter: LoRA) -> float:
    """alpha / rank, or alpha / sqrt(rank) under rslora (arXiv 2312.03732)."""
    return adapter.alpha / (math.sqrt(adapter.rank) if adapter.rslora else adapter.rank)


def fresh(
    layers: Mapping[str, nn.Linear], rank: int, seed: int, device: torch.device
) -> dict[str, Tensor]:
    """A and B of each layer as PEFT starts them: A kaiming-uniform with a = √5, B zero."""
    tensors = {}
    for name, layer in layers.items():
        key = hashlib.sha256(f"{seed}:{name}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(key[:8], "little") >> 1)
        bound = 1 / math.sqrt(layer.in_features)
        a_RI = torch.empty(rank, layer.in_features).uniform_(-bound, bound, generator=generator)
        tensors[f"{name}.lora_A.weight"] = a_RI.to(device)  # drawn alike wherever it computes
        tensors[f"{name}.lora_B.weight"] = torch.zeros(layer.out_features, rank, device=device)
    return tensors


def stacked(
    below: Mapping[str, Tensor], own: Mapping[str, Tensor], whole: bool = False
) -> dict[str, Tensor]:
    """Two adapters of one scale as one of the sum of their ranks, by PEFT's names.

    ``B₁A₁ + B₂A₂ = [B₁ B₂][A₁; A₂]``. With ``whole`` a layer that only one of them adapts has that
    rank too, filled with zeros.
    """
    if not below:
        return dict(own)
    ranks = [_rank(below), _rank(own)]
    out = {}
    for name in dict.fromkeys((*below, *own)):
        dim = 0 if "lora_A" in name else 1
        parts = [some.get(name) for some in (below, own)]
        like = next(part for part in parts if part is not None)
        filled = [
            _zeros(like, dim, rank) if part is None and whole else part
            for part, rank in zip(parts, ranks, strict=True)
        ]
        out[name] = torch.cat([part for part in filled if part is not None], dim)
    return out


def rescaled(tensors: Mapping[str, Tensor], factor: float) -> dict[str, Tensor]:
    """The adapter as it is under a scale that is ``factor`` times smaller."""
    return {name: t * factor if "lora_B" in name else t for name, t in tensors.items()}


def _rank(tensors: Mapping[str, Tensor]) -> int:
    return next(t.shape[0] for name, t in tensors.items() if "lora_A" in name)


def _zeros(like: Tensor, dim: int, rank: int) -> Tensor:
    shape = [rank if d == dim else size for d, size in enumerate(like.shape)]
    return like.new_zeros(shape)


def updates_of(
    tensors: Mapping[str, Tensor], scale: float, dtype: torch.dtype
) -> dict[str, Update]:
    """Tensors by PEFT's names as updates by layer, computed with in ``dtype``."""
    computed = rounded(tensors, dtype)
    updates = {}
    for layer in (name.removesuffix(".lora_A.weight") for name in tensors if "lora_A" in name):
        a, b = f"{layer}.lora_A.weight", f"{layer}.lora_B.weight"
        updates[layer] = Update(tensors[a], tensors[b], (computed[a], computed[b]), scale)
    return updates


@torch.no_grad()
def rounded(tensors: Mapping[str, Tensor], dtype: torch.dtype) -> Mapping[str, Tensor]:
    """The tensors in ``dtype``, without gradient."""
    if all(tensor.dtype == dtype for tensor in tensors.values()):
        return {name: tensor.detach() for name, tensor in tensors.items()}
    made = {name: torch.empty_like(tensor, dtype=dtype) for name, tensor in tensors.items()}
    torch._foreach_copy_([*made.values()], [*tensors.values()])
    return made


def _fits(layer: str, name: str) -> bool:
    return layer == name or layer.endswith(f".{name}")


def _worth_joining(x_NI: Tensor, outputs: int) -> bool:
    """Whether one product of joined factors moves less memory than adding the update afterwards.

    Joining copies the input and the weight; adding reads and writes the output. Matters on GPUs,
    where memory is what a wide layer waits for.
    """
    tokens, inputs = x_NI.shape
    return x_NI.is_cuda and tokens * outputs > 2 * inputs * (tokens + outputs)


class _Linears(torch.autograd.Function):
    """Layers that read one input, by one product with all their A."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        frozen: Sequence[tuple[Tensor | Held, Tensor | None]],
        rounded: Sequence[tuple[Tensor, Tensor]],
        scale: float,
        *factors: Tensor,
    ) -> tuple[Tensor, ...]:
        """frozen: weight and bias of each; factors: A and B of each, of which the gradients are."""
        x_NI = x.flatten(0, -2)
        a_RI = _joined([a for a, _ in rounded], 0)
        ranks = [len(a) for a, _ in rounded]
        down_NR = x_NI @ a_RI.T
        outs = [
            _with_update(x_NI, _whole(weight, x.dtype), bias_O, down, b, scale)
            for (weight, bias_O), down, (_, b) in zip(
                frozen, down_NR.split(ranks, 1), rounded, strict=True
            )
        ]
        weights = [weight for weight, _ in frozen]
        kept = [weight if isinstance(weight, Tensor) else None for weight in weights]
        ctx.save_for_backward(x_NI, down_NR, a_RI, *(b for _, b in rounded), *kept)
        ctx.held = [None if isinstance(weight, Tensor) else weight for weight in weights]
        ctx.ranks, ctx.scale = ranks, scale
        return tuple(out_NO.view(*x.shape[:-1], -1) for out_NO in outs)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x_NI, down_NR, a_RI, *rest = ctx.saved_tensors
        bs, kept = rest[: len(grads)], rest[len(grads) :]
        grads_NO = [grad.flatten(0, -2) for grad in grads]
        ups = [grad_NO @ b for grad_NO, b in zip(grads_NO, bs, strict=True)]
        up_NR = _joined(ups, 1) * ctx.scale
        downs = down_NR.split(ctx.ranks, 1)
        grad_bs = [
            (grad_NO.T @ down).float() * ctx.scale
            for grad_NO, down in zip(grads_NO, downs, strict=True)
        ]
        grad_as = (up_NR.T @ x_NI).float().split(ctx.ranks)
        both = [g for pair in zip(grad_as, grad_bs, strict=True) for g in pair]
        if not ctx.needs_input_grad[0]:
            return None, None, None, None, *both
        weights = [held or weight for weight, held in zip(kept, ctx.held, strict=True)]
        grad_x = _back(grads_NO, weights, up_NR, a_RI)
        return grad_x.view(*grads[0].shape[:-1], -1), None, None, None, *both


def _joined(parts: Sequence[Tensor], dim: int) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat([*parts], dim)


def _whole(weight: Tensor | Held, dtype: torch.dtype) -> Tensor:
    return weight if isinstance(weight, Tensor) else weight.whole(dtype)


def _with_update(
    x_NI: Tensor, weight_OI: Tensor, bias_O: Tensor | None, down_NR: Tensor, b: Tensor, scale: float
) -> Tensor:
    if not _worth_joining(x_NI, weight_OI.shape[0]):
        return F.linear(x_NI, weight_OI, bias_O).addmm_(down_NR, b.T, alpha=scale)
    joined = torch.cat([x_NI, down_NR * scale], 1), torch.cat([weight_OI, b], 1)
    return F.linear(*joined, bias_O)


def _back(
    grads_NO: Sequence[Tensor], weights: Sequence[Tensor | Held], up_NR: Tensor, a_RI: Tensor
) -> Tensor:
    """The gradient by the input. Of weights that are held one is whole at a time."""
    (first_NO, first), *others = zip(grads_NO, weights, strict=True)
    if not others and _worth_joining(first_NO, a_RI.shape[1]):
        joined_OI = torch.cat([_whole(first, first_NO.dtype), a_RI], 0)
        return torch.cat([first_NO, up_NR], 1) @ joined_OI
    grad_x = first_NO @ _whole(first, first_NO.dtype)
    for grad_NO, weight in others:
        grad_x.addmm_(grad_NO, _whole(weight, grad_NO.dtype))
    return grad_x.addmm_(up_NR, a_RI)
