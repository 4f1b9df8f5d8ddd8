"""Attention over flat rows that follows a plan. Knows no model and no batch.

Everything of a batch lies in one row, [1, heads, tokens, dim]; which tokens see which is said by
the plan in force: segments (causal, each alone), a prefill that also fills a cache, or one new
token for each row of a cache.

Shape legend: H query heads, K key heads, N tokens, D head dimension, R rows, L cached tokens.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import Protocol

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own convention
from torch import Tensor

from customize_torch import varlen_attention
from customize_torch.segments import Segment
from customize_torch.short_attention import FEW_KEYS, attend_rows, attend_short

_MULTIPLE = 16  # of a short segment's tokens, and of those read of a cache: shapes come back


class Plan(Protocol):
    """Which tokens see which."""

    def attend(
        self, layer: int, q_HND: Tensor, k_KND: Tensor, v_KND: Tensor, scale: float, window: int
    ) -> Tensor:
        """Outputs [1, H, N, D]; every tensor has a leading 1. ``window``: tokens seen, 0 is all."""


class Segments:
    """Segments side by side; together they cover the row. ``varlen``: in one call where it can."""

    def __init__(self, segments: Sequence[Segment], varlen: bool = False) -> None:
        self._segments = segments
        self._may = varlen
        self._varlen: varlen_attention.VarLen | None = None

    def attend(
        self, layer: int, q_HND: Tensor, k_KND: Tensor, v_KND: Tensor, scale: float, window: int
    ) -> Tensor:
        if self._may and varlen_attention.serves(q_HND):
            if self._varlen is None:
                self._varlen = varlen_attention.VarLen(self._segments, q_HND.device)
            return self._varlen.attend(q_HND, k_KND, v_KND, scale, window)
        given = q_HND, k_KND, v_KND
        short = [s for s in self._segments if _is_short(q_HND, s.num_seen)]
        if len(short) == len(self._segments):
            return _attend_short(*given, short, scale, window)
        outs = _apart(_attend_short(*given, short, scale, window), short) if short else {}
        q, k, v = (_apart(x, self._segments) for x in given)
        for s in self._segments:
            if s.start not in outs:
                seen = _seen(s, k), _seen(s, v)
                outs[s.start] = _attended(q[s.start], *seen, s, scale, window)
        return torch.cat([outs[s.start] for s in self._segments], dim=2)


class Prefill(Segments):
    """Sequences side by side, ``offsets`` as in a batch; keys and values are kept, by layer."""

    def __init__(self, offsets: Sequence[int], varlen: bool = False) -> None:
        super().__init__([Segment(a, b) for a, b in itertools.pairwise(offsets)], varlen)
        self.kept: dict[int, tuple[Tensor, Tensor]] = {}

    def attend(
        self, layer: int, q_HND: Tensor, k_KND: Tensor, v_KND: Tensor, scale: float, window: int
    ) -> Tensor:
        self.kept[layer] = (k_KND[0], v_KND[0])
        return super().attend(layer, q_HND, k_KND, v_KND, scale, window)


class Decode:
    """One new token for each row of a cache; ``lengths`` [R] count what each row holds before.

    longest: tokens of the longest row afterwards; no more of the cache is read.
    attend_new: that of ``Kernels``.
    """

    def __init__(
        self,
        cache: Cache,
        lengths: Tensor,
        longest: int,
        attend_new: Callable[..., Tensor] | None = None,
    ) -> None:
        # A cache that is nearly full is read whole: that is faster than a part of it.
        nearly = 2 * cache.room <= 3 * longest
        longest = cache.room if nearly else min(longest + -longest % _MULTIPLE, cache.room)
        self._cache = cache
        self._lengths = lengths
        self._attend_new = attend_new
        self._longest = longest
        self._rows = torch.arange(len(lengths), device=lengths.device)
        self._places = torch.arange(longest, device=lengths.device)[None]
        self._seen = self._places <= lengths[:, None]
        self._masks: dict[tuple[torch.dtype, int], Tensor] = {}

    def attend(
        self, layer: int, q_HND: Tensor, k_KND: Tensor, v_KND: Tensor, scale: float, window: int
    ) -> Tensor:
        keys, values = self._cache.layers[layer]
        if self._attend_new is not None:
            q_RHD, k_RKD, v_RKD = (x[0].transpose(0, 1) for x in (q_HND, k_KND, v_KND))
            out_RHD = self._attend_new(
                q_RHD, k_RKD, v_RKD, keys, values, self._lengths, scale, window
            )
            return out_RHD.transpose(0, 1)[None]
        held = self._added(layer, k_KND, v_KND)
        q_RKGD = q_HND[0].transpose(0, 1).unflatten(1, (k_KND.shape[1], -1))
        if _is_short(q_HND, self._longest):
            out = attend_rows(q_RKGD, *held, self._mask(torch.float32, window), scale)
        else:
            mask = self._mask(q_HND.dtype, window)
            out = F.scaled_dot_product_attention(q_RKGD, *held, attn_mask=mask, scale=scale)
        return out.reshape(len(q_RKGD), -1, q_HND.shape[3]).transpose(0, 1)[None]

    def _added(self, layer: int, k_KND: Tensor, v_KND: Tensor) -> tuple[Tensor, Tensor]:
        """The cache's keys and values [R, K, L, D] with those of the new tokens."""
        keys, values = self._cache.layers[layer]
        keys[self._rows, :, self._lengths] = k_KND[0].transpose(0, 1)
        values[self._rows, :, self._lengths] = v_KND[0].transpose(0, 1)
        return keys[:, :, : self._longest], values[:, :, : self._longest]

    def _mask(self, dtype: torch.dtype, window: int) -> Tensor:
        """0 where a row sees a token, else -inf, [R, 1, 1, L]; made once for all layers."""
        if (dtype, window) not in self._masks:
            seen_RL = self._seen
            if window:
                seen_RL = seen_RL & (self._places > self._lengths[:, None] - window)
            none_RL = torch.zeros_like(seen_RL, dtype=dtype)
            self._masks[dtype, window] = none_RL.masked_fill_(~seen_RL, -torch.inf)[:, None, None]
        return self._masks[dtype, window]


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

    def decode(
        self, lengths_R: Tensor, longest: int, attend_new: Callable[..., Tensor] | None
    ) -> Plan:
        """The plan of a step for every row, as `Decode` takes it."""
        return Decode(self, lengths_R, longest, attend_new)

    @property
    def room(self) -> int:
        """Tokens that a row can hold."""
        return next(iter(self.layers.values()))[0].shape[2]

    def keep(self, rows: Tensor) -> None:
        """Only these rows go on."""
        for layer, (keys, values) in self.layers.items():
            self.layers[layer] = (keys[rows], values[rows])

    def join(self, other: Cache) -> None:
        """The other's rows come after these; the larger room is everyone's."""
        room = max(self.room, other.room)
        for layer, mine in self.layers.items():
            keys, values = (
                torch.cat([_with_room(one, room) for one in both])
                for both in zip(mine, other.layers[layer], strict=True)
            )
            self.layers[layer] = (keys, values)


_plan: ContextVar[Plan] = ContextVar("attention plan")


def plan_in_force() -> Plan:
    """What attention follows now."""
    return _plan.get()


@contextmanager
def following(plan: Plan) -> Iterator[None]:
    """Attention follows ``plan`` inside."""
    token = _plan.set(plan)
    try:
        yield
    finally:
        _plan.reset(token)


def _with_room(kept_RKLD: Tensor, room: int) -> Tensor:
    return F.pad(kept_RKLD, (0, 0, 0, room - kept_RKLD.shape[2]))


def _rows(
    kept_KND: Tensor, bounds: Sequence[tuple[int, int]], owners: Sequence[int], room: int
) -> Tensor:
    num_keys, _, dim = kept_KND.shape
    out = kept_KND.new_zeros(len(owners), num_keys, room, dim)
    for row, owner in enumerate(owners):
        start, end = bounds[owner]
        out[row, :, : end - start] = kept_KND[:, start:end]
    return out


def _apart(x: Tensor, segments: Sequence[Segment]) -> dict[int, Tensor]:
    """The tokens of each segment, by where it starts. Cut at once: a cut for each would make a
    gradient as long as the row for each.
    """
    parts = x.split([s.end - s.start for s in segments], dim=2)
    return {s.start: part for s, part in zip(segments, parts, strict=True)}


def _seen(s: Segment, parts: Mapping[int, Tensor]) -> Tensor:
    """Keys or values that a segment sees: its prefix's, which is a segment too, and its own."""
    own = parts[s.start]
    if s.prefix_end == s.prefix_start:
        return own
    return torch.cat([parts[s.prefix_start], own], dim=2)


def _attended(q: Tensor, k: Tensor, v: Tensor, s: Segment, scale: float, window: int) -> Tensor:
    """The outputs of one segment, whose queries these are and who sees these keys and values."""
    num_keys = s.num_seen
    grouped = q.shape[1] != k.shape[1]
    if s.prefix_end == s.prefix_start and (not window or num_keys <= window):
        return F.scaled_dot_product_attention(
            q, k, v, is_causal=True, scale=scale, enable_gqa=grouped
        )
    mask = _mask(s.end - s.start, num_keys, window, q.device)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale, enable_gqa=grouped)


def _attend_short(
    q: Tensor, k: Tensor, v: Tensor, segments: Sequence[Segment], scale: float, window: int
) -> Tensor:
    wide = [s.widened(_MULTIPLE, q.shape[2]) for s in segments]
    masks = [_mask(s.end - s.start, s.num_seen, window, q.device) for s in wide]
    return attend_short(q, k, v, segments, masks, scale)


def _is_short(q: Tensor, num_keys: int) -> bool:
    return not q.is_cuda and q.dtype == torch.bfloat16 and num_keys <= FEW_KEYS


@lru_cache(64)
def _mask(num_queries: int, num_keys: int, window: int, device: torch.device) -> Tensor:
    """True where a query sees a key: none later, and none ``window`` or more before."""
    seen = torch.ones(num_queries, num_keys, dtype=torch.bool, device=device)
    seen = seen.tril(num_keys - num_queries)
    return seen.triu(num_keys - num_queries - window + 1) if window else seen
