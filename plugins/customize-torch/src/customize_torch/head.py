"""Log-probabilities at trained positions only, without ever holding all logits. Knows no model.

For row t with target y: ``lp = z_y - logsumexp(z)``. The direction of its gradient by the hidden
state, ``u = W[y] - Σ_v p_v W_v``, is made in the forward pass while the chunk's probabilities are
at hand, so that backward is ``u · g``: two matrix products in all.

Shape legend: T trained positions, C hidden size, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from customize_torch.kernels import PLAIN, Kernels

_ROWS = 256  # at least


def logprobs_of(
    hidden_TC: Tensor,
    weight_VC: Tensor,
    targets_T: Tensor,
    kernels: Kernels = PLAIN,
    num_logits: int = 0,
) -> Tensor:
    """Log-probabilities of ``targets_T``, float32 [T], differentiable by hidden and weight.

    num_logits: how many may be held at once; never fewer than those of 256 positions.
    """
    rows = max(_ROWS, num_logits // len(weight_VC))
    if torch.is_grad_enabled() and (hidden_TC.requires_grad or weight_VC.requires_grad):
        out: Tensor = _Head.apply(hidden_TC, weight_VC, targets_T, kernels, rows)
        return out
    parts = [
        kernels.chosen(h @ weight_VC.T, y)
        for h, y in zip(hidden_TC.split(rows), targets_T.split(rows), strict=True)
    ]
    return torch.cat(parts) if parts else hidden_TC.new_zeros(0, dtype=torch.float32)


class _Head(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden_TC: Tensor,
        weight_VC: Tensor,
        targets_T: Tensor,
        kernels: Kernels,
        num_rows: int,
    ) -> Tensor:
        logprobs_T = hidden_TC.new_empty(len(targets_T), dtype=torch.float32)
        direction_TC = torch.empty_like(hidden_TC)
        for start in range(0, len(targets_T), num_rows):
            rows = slice(start, start + num_rows)
            logits_TV = hidden_TC[rows] @ weight_VC.T
            logprobs_T[rows], probs_TV = kernels.softmax(logits_TV, targets_T[rows])
            expected = probs_TV.to(weight_VC.dtype) @ weight_VC
            direction_TC[rows] = weight_VC[targets_T[rows]] - expected
        keeps_weight = ctx.needs_input_grad[1]
        kept = (hidden_TC, weight_VC, targets_T) if keeps_weight else ()
        ctx.save_for_backward(direction_TC, *kept)
        ctx.kernels, ctx.num_rows = kernels, num_rows
        return logprobs_T

    @staticmethod
    def backward(ctx: Any, grad_T: Tensor) -> tuple[Tensor | None, ...]:
        direction_TC, *kept = ctx.saved_tensors
        grad_TC = (direction_TC * grad_T[:, None]).to(direction_TC.dtype)
        if not kept:
            return grad_TC, None, None, None, None
        hidden_TC, weight_VC, targets_T = kept
        grad_weight = _weight_gradient(
            grad_T, hidden_TC, weight_VC, targets_T, ctx.kernels, ctx.num_rows
        )
        return grad_TC, grad_weight, None, None, None


def _weight_gradient(
    grad_T: Tensor,
    hidden_TC: Tensor,
    weight_VC: Tensor,
    targets_T: Tensor,
    kernels: Kernels,
    num_rows: int,
) -> Tensor:
    """The weight's own gradient, needed when everything is trained: Σ_t g_t (e_y - p) h_t."""
    out_VC = torch.zeros_like(weight_VC)
    for start in range(0, len(targets_T), num_rows):
        rows = slice(start, start + num_rows)
        logprobs_T, probs_TV = kernels.softmax(hidden_TC[rows] @ weight_VC.T, targets_T[rows])
        away_TV = probs_TV.neg_()
        # In the weight's dtype 1 - p would lose its digits where p is near 1.
        away_TV[torch.arange(len(away_TV)), targets_T[rows]] = -logprobs_T.expm1().to(away_TV.dtype)
        out_VC += (away_TV * grad_T[rows, None]).to(weight_VC.dtype).T @ hidden_TC[rows]
    return out_VC
