"""Attention over few keys, as plain products: what torch's fused kernel is slow at in bf16.

On processors the backward pass of the fused kernel takes several times the work on rows of a
hundred tokens; up to ``FEW_KEYS`` the plain products are faster, and their probabilities are small.
Knows no plan.

Shape legend: H query heads, K key heads, G = H/K, M queries, N keys, D head dimension, R rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own convention
from torch import Tensor

from customize_torch.segments import Segment

FEW_KEYS = 256


def attend_short(
    q_HND: Tensor,
    k_KND: Tensor,
    v_KND: Tensor,
    segments: Sequence[Segment],
    masks_MN: Sequence[Tensor],
    scale: float,
) -> Tensor:
    """softmax(scale · q kᵀ) v, segment by segment where its mask says so; inputs lead with a 1.

    The segments lie in order; outputs [1, H, M, D] for the M queries that are in one of them.
    A mask with more rows than its segment has tokens goes on into the row, for the shape of the
    products alone: none of the segment's tokens may see what follows it.
    """
    out: Tensor = _Attention.apply(q_HND, k_KND, v_KND, segments, masks_MN, scale)
    return out


def attend_rows(
    q_RKGD: Tensor, k_RKND: Tensor, v_RKND: Tensor, mask_R11N: Tensor, scale: float
) -> Tensor:
    """The same for rows with one new token each, [R, K, G, D]; what is added to scores hides:
    0 or -inf, in float32, in which scores are scaled.
    """
    k, v = k_RKND.flatten(0, 1), v_RKND.flatten(0, 1)
    scores = torch.bmm(q_RKGD.flatten(0, 1), k.mT).view(*q_RKGD.shape[:3], -1)
    probs = torch.add(mask_R11N, scores, alpha=scale).softmax(-1).to(q_RKGD.dtype)
    return torch.bmm(probs.flatten(0, 1), v).view(q_RKGD.shape)


def seen_by(s: Segment, kept_KND: Tensor) -> Tensor:
    """Keys or values that a segment sees: its prefix's and its own."""
    own = kept_KND[..., s.start : s.end, :]
    if s.prefix_end == s.prefix_start:
        return own
    return torch.cat([kept_KND[..., s.prefix_start : s.prefix_end, :], own], dim=-2)


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        q_HND: Tensor,
        k_KND: Tensor,
        v_KND: Tensor,
        segments: Sequence[Segment],
        masks_MN: Sequence[Tensor],
        scale: float,
    ) -> Tensor:
        num_keys, heads, dim = len(k_KND[0]), q_HND.shape[1], q_HND.shape[3]
        length = sum(s.end - s.start for s in segments)
        out_MHD = q_HND.new_empty(length, heads, dim)
        done, kept = 0, []
        for s, seen_MN in zip(segments, masks_MN, strict=True):
            size = s.end - s.start
            q, k, v = _of_segment(_wide(s, len(seen_MN)), q_HND, k_KND, v_KND)
            scores = torch.bmm(q, k.mT).float().mul_(scale)
            scores.view(-1, *seen_MN.shape).masked_fill_(~seen_MN, -torch.inf)
            probs = scores.softmax(-1).to(q.dtype)
            probs.view(-1, *seen_MN.shape)[:, size:] = 0  # so nothing comes from these, nor back
            here = slice(done, done := done + size)
            out_MHD[here] = torch.bmm(probs, v).view(heads, -1, dim)[:, :size].transpose(0, 1)
            kept.append(probs)
        out_HMD = out_MHD.transpose(0, 1)[None]
        ctx.save_for_backward(q_HND, k_KND, v_KND, out_HMD, *kept)
        ctx.segments, ctx.scale, ctx.num_keys = segments, scale, num_keys
        return out_HMD

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        q_HND, k_KND, v_KND, out_HMD, *kept = ctx.saved_tensors
        heads, dim = q_HND.shape[1], q_HND.shape[3]
        grads = torch.zeros_like(q_HND), torch.zeros_like(k_KND), torch.zeros_like(v_KND)
        # Σ_n p_n (g · v_n) = g · out (arXiv 2205.14135, appendix B.4): a sum over D, not over keys.
        along_HM1 = (grad.float() * out_HMD).sum(-1, keepdim=True)
        done = 0
        for s, probs in zip(ctx.segments, kept, strict=True):
            size, rows = s.end - s.start, probs.shape[1] * ctx.num_keys // heads
            q, k, v = _of_segment(_wide(s, rows), q_HND, k_KND, v_KND)
            here, more = slice(done, done := done + size), (0, 0, 0, rows - size)
            grad_out = _by_key_head(F.pad(grad[:, :, here], more), ctx.num_keys)
            along = _by_key_head(F.pad(along_HM1[:, :, here], more), ctx.num_keys)
            scores = torch.bmm(grad_out, v.mT).float().sub_(along).mul_(probs).to(q.dtype)
            grad_q = torch.bmm(scores, k).mul_(ctx.scale)
            grads[0][0, :, s.start : s.end] = grad_q.view(heads, -1, dim)[:, :size]
            _add(grads[1], s, torch.bmm(scores.mT, q).mul_(ctx.scale))
            _add(grads[2], s, torch.bmm(probs.mT, grad_out))
        return *grads, None, None, None


def _wide(s: Segment, num_rows: int) -> Segment:
    """So many tokens of the row from where it starts."""
    return attrs.evolve(s, end=s.start + num_rows)


def _of_segment(
    s: Segment, q_HND: Tensor, k_KND: Tensor, v_KND: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Its queries by key head, and the keys and values that it sees."""
    q = _by_key_head(q_HND[:, :, s.start : s.end], k_KND.shape[1])
    return q, seen_by(s, k_KND[0]), seen_by(s, v_KND[0])


def _add(grad_KND: Tensor, s: Segment, more_KND: Tensor) -> None:
    """To what the segment saw."""
    prefix = s.prefix_end - s.prefix_start
    grad_KND[0, :, s.start : s.end] += more_KND[:, prefix : s.num_seen]
    if prefix:
        grad_KND[0, :, s.prefix_start : s.prefix_end] += more_KND[:, :prefix]


def _by_key_head(x_HMD: Tensor, num_keys: int) -> Tensor:
    """[1, H, M, D] as [K, G·M, D]: the queries that share a key head are one product."""
    return x_HMD[0].reshape(num_keys, -1, x_HMD.shape[-1])
