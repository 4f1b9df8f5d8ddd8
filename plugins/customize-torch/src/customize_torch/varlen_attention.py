"""Segments of one row as a single call of flash attention. Knows no plan in force.

Serves half precision on torch's ``cuda`` device; what else there is goes segment by segment.

Shape legend: H query heads, K key heads, N tokens, M keys of all segments, D head dimension,
S segments.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from customize_torch.segments import Segment

_LARGEST_HEAD = 256


def serves(q_HND: Tensor) -> bool:
    """Whether the kernel computes on such tensors."""
    return (
        q_HND.is_cuda
        and q_HND.dtype in (torch.bfloat16, torch.float16)
        and q_HND.shape[-1] <= _LARGEST_HEAD
        and q_HND.shape[-1] % 8 == 0
    )


class VarLen:
    """Where the segments of a row begin, as the kernel wants to know it."""

    def __init__(self, segments: Sequence[Segment], device: torch.device) -> None:
        queries = [s.end - s.start for s in segments]
        prefixes = [s.prefix_end - s.prefix_start for s in segments]
        keys = [own + prefix for own, prefix in zip(queries, prefixes, strict=True)]
        self._queries, self._longest_query = _bounds(queries, device), max(queries)
        self._keys, self._longest_keys = _bounds(keys, device), max(keys)
        self._sources: Tensor | None = None
        if any(prefixes):
            places = [
                part
                for s in segments
                for part in (np.arange(s.prefix_start, s.prefix_end), np.arange(s.start, s.end))
            ]
            self._sources = torch.from_numpy(np.concatenate(places)).to(device)

    def attend(
        self, q_HND: Tensor, k_KND: Tensor, v_KND: Tensor, scale: float, window: int
    ) -> Tensor:
        """Outputs [1, H, N, D]; every tensor has a leading 1."""
        q_NHD, k_MKD, v_MKD = (x[0].transpose(0, 1) for x in (q_HND, k_KND, v_KND))
        if self._sources is not None:
            k_MKD, v_MKD = k_MKD[self._sources], v_MKD[self._sources]
        bounds = (self._queries, self._keys, self._longest_query, self._longest_keys)
        out_NHD: Tensor = _Flash.apply(q_NHD, k_MKD, v_MKD, bounds, scale, window)
        return out_NHD.transpose(0, 1)[None]


def _bounds(lengths: Sequence[int], device: torch.device) -> Tensor:
    return torch.from_numpy(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)).to(device)


class _Flash(torch.autograd.Function):
    """FlashAttention-2 (arXiv 2307.08691) as torch has it: causal from each segment's end."""

    @staticmethod
    def forward(
        ctx: Any,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        bounds: tuple[Tensor, Tensor, int, int],
        scale: float,
        window: int,
    ) -> Tensor:
        ctx.sees = {
            "scale": scale,
            "window_size_left": window - 1 if window else None,
            "window_size_right": 0 if window else None,
        }
        ctx.bounds, ctx.is_causal = bounds, not window
        out, logsumexp, state, unused, _ = torch.ops.aten._flash_attention_forward(
            q, k, v, *bounds, 0.0, ctx.is_causal, False, **ctx.sees
        )
        ctx.save_for_backward(q, k, v, out, logsumexp, state, unused)
        made: Tensor = out
        return made

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, out, logsumexp, state, unused = ctx.saved_tensors
        gradients = torch.ops.aten._flash_attention_backward(
            grad.contiguous(),
            *(q, k, v, out, logsumexp),
            *ctx.bounds,
            *(0.0, ctx.is_causal, state, unused),
            **ctx.sees,
        )
        return (*gradients, None, None, None)
