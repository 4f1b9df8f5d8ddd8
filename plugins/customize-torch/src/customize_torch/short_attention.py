"""Attention over few keys, as plain products: what torch's fused kernel is slow at in bf16.

On processors the backward pass of the fused kernel takes several times the work on rows of a
hundred tokens; up to ``FEW_KEYS`` the plain products are faster, and their probabilities are small.
Knows no plan.

Shape legend: H query heads, K key heads, G = H/K, M queries, N keys, D head dimension.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

FEW_KEYS = 256


def attend_short(
    q_HMD: Tensor, k_KND: Tensor, v_KND: Tensor, seen_MN: Tensor, scale: float
) -> Tensor:
    """softmax(scale · q kᵀ) v where ``seen_MN``; outputs [1, H, M, D]; inputs lead with a 1 too."""
    out: Tensor = _Attention.apply(q_HMD, k_KND, v_KND, seen_MN, scale)
    return out


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, q_HMD: Tensor, k_KND: Tensor, v_KND: Tensor, seen_MN: Tensor, scale: float
    ) -> Tensor:
        k, v = k_KND[0], v_KND[0]
        q = _by_key_head(q_HMD, len(k))
        scores = torch.bmm(q, k.mT).float().mul_(scale)
        scores.view(-1, *seen_MN.shape).masked_fill_(~seen_MN, -torch.inf)
        probs = scores.softmax(-1).to(q.dtype)
        ctx.save_for_backward(q, k, v, probs)
        ctx.scale = scale
        return torch.bmm(probs, v).view(q_HMD.shape)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, probs = ctx.saved_tensors
        grad_out = _by_key_head(grad, len(k))
        exact = probs.float()
        grad_scores = torch.bmm(grad_out, v.mT).float().mul_(exact)
        grad_scores.sub_(exact * grad_scores.sum(-1, keepdim=True))
        rounded = grad_scores.mul_(ctx.scale).to(q.dtype)
        return (
            torch.bmm(rounded, k).view(grad.shape),
            torch.bmm(rounded.mT, q)[None],
            torch.bmm(probs.mT, grad_out)[None],
            None,
            None,
        )


def _by_key_head(x_HMD: Tensor, num_keys: int) -> Tensor:
    """[1, H, M, D] as [K, G·M, D]: the queries that share a key head are one product."""
    return x_HMD[0].reshape(num_keys, -1, x_HMD.shape[-1])
