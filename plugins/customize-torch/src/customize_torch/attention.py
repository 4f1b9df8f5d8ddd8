"""Attention over flat rows that follows a plan. Knows no model and no batch.

Everything of a batch lies in one row, [1, heads, tokens, dim]; which tokens see which is said by
the plan in force: segments (causal, each alone), a prefill that also fills a cache, or one new
token for each row of a cache.

Shape legend: H query heads, K key heads, N tokens, D head dimension, R rows, L cached tokens.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own convention
from torch import Tensor
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface

NAME = "customize_plan"


class Plan(Protocol):
    """Which tokens see which."""

    def attend(
        self, layer: int, q_HND: Tensor, k_KND: Tensor, v_KND: Tensor, scale: float
    ) -> Tensor:
        """Outputs [1, H, N, D]; every tensor has a leading 1."""


class Segments:
    """Sequences side by side, each causal and alone; ``offsets`` as in a batch."""

    def __init__(self, offsets: Sequence[int]) -> None:
        self._bounds = list(itertools.pairwise(offsets))

    def attend(
        self, layer: int, q_HND: Tensor, k_KND: Tensor, v_KND: Tensor, scale: float
    ) -> Tensor:
        parts = [
            _causal(q_HND[:, :, a:b], k_KND[:, :, a:b], v_KND[:, :, a:b], scale)
            for a, b in self._bounds
        ]
        return torch.cat(parts, dim=2)


class Prefill(Segments):
    """Segments whose keys and values are kept, by layer."""

    def __init__(self, offsets: Sequence[int]) -> None:
        super().__init__(offsets)
        self.kept: dict[int, tuple[Tensor, Tensor]] = {}

    def attend(
        self, layer: int, q_HND: Tensor, k_KND: Tensor, v_KND: Tensor, scale: float
    ) -> Tensor:
        self.kept[layer] = (k_KND[0], v_KND[0])
        return super().attend(layer, q_HND, k_KND, v_KND, scale)


class Decode:
    """One new token for each row of a cache; ``lengths`` [R] count what each row holds before."""

    def __init__(self, cache: Cache, lengths: Tensor) -> None:
        self._cache = cache
        self._lengths = lengths
        self._rows = torch.arange(len(lengths))
        self._longest = int(lengths.max()) + 1
        places = torch.arange(self._longest)
        self._seen = (places[None] <= lengths[:, None])[:, None, None]

    def attend(
        self, layer: int, q_HND: Tensor, k_KND: Tensor, v_KND: Tensor, scale: float
    ) -> Tensor:
        keys, values = self._cache.layers[layer]
        keys[self._rows, :, self._lengths] = k_KND[0].transpose(0, 1)
        values[self._rows, :, self._lengths] = v_KND[0].transpose(0, 1)
        num_keys, num_rows = k_KND.shape[1], q_HND.shape[2]
        q_RKGD = q_HND[0].transpose(0, 1).unflatten(1, (num_keys, -1))
        out = F.scaled_dot_product_attention(
            q_RKGD,
            keys[:, :, : self._longest],
            values[:, :, : self._longest],
            attn_mask=self._seen,
            scale=scale,
        )
        return out.reshape(num_rows, -1, q_HND.shape[3]).transpose(0, 1)[None]


class Cache:
    """Keys and values of R rows, [R, K, L, D] a layer; what lies past a row's length is noise."""

    def __init__(self, layers: dict[int, tuple[Tensor, Tensor]]) -> None:
        self.layers = layers

    @classmethod
    def from_prefill(
        cls, prefill: Prefill, bounds: Sequence[tuple[int, int]], owners: Sequence[int], room: int
    ) -> Cache:
        """Row r starts as the keys and values of prompt ``owners[r]``, with room for L tokens."""
        layers = {}
        for layer, both in prefill.kept.items():
            made = tuple(_rows(kept, bounds, owners, room) for kept in both)
            layers[layer] = (made[0], made[1])
        return cls(layers)

    def keep(self, rows: Tensor) -> None:
        """Only these rows go on."""
        for layer, (keys, values) in self.layers.items():
            self.layers[layer] = (keys[rows], values[rows])


_plan: ContextVar[Plan] = ContextVar("attention plan")


@contextmanager
def following(plan: Plan) -> Iterator[None]:
    """Attention follows ``plan`` inside."""
    token = _plan.set(plan)
    try:
        yield
    finally:
        _plan.reset(token)


def _rows(
    kept_KND: Tensor, bounds: Sequence[tuple[int, int]], owners: Sequence[int], room: int
) -> Tensor:
    num_keys, _, dim = kept_KND.shape
    out = kept_KND.new_zeros(len(owners), num_keys, room, dim)
    for row, owner in enumerate(owners):
        start, end = bounds[owner]
        out[row, :, : end - start] = kept_KND[:, start:end]
    return out


def _causal(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
    grouped = q.shape[1] != k.shape[1]
    return F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scale, enable_gqa=grouped)


def _attend(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **kwargs: Any,  # transformers passes each model's extras; those that matter are refused at load
) -> tuple[Tensor, None]:
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    layer = int(module.layer_idx)
    out = _plan.get().attend(layer, query, key, value, scale)
    return out.transpose(1, 2).contiguous(), None


AttentionInterface.register(NAME, _attend)
AttentionMaskInterface.register(NAME, lambda *args, **kwargs: None)
