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

_ROWS = 256


def logprobs_of(hidden_TC: Tensor, weight_VC: Tensor, targets_T: Tensor) -> Tensor:
    """Log-probabilities of ``targets_T``, float32 [T], differentiable by hidden and weight."""
    if torch.is_grad_enabled() and (hidden_TC.requires_grad or weight_VC.requires_grad):
        out: Tensor = _Head.apply(hidden_TC, weight_VC, targets_T)
        return out
    parts = [
        _chunk(h, weight_VC, y)[0]
        for h, y in zip(hidden_TC.split(_ROWS), targets_T.split(_ROWS), strict=True)
    ]
    return torch.cat(parts) if parts else hidden_TC.new_zeros(0, dtype=torch.float32)


class _Head(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden_TC: Tensor, weight_VC: Tensor, targets_T: Tensor) -> Tensor:
        logprobs_T = hidden_TC.new_empty(len(targets_T), dtype=torch.float32)
        direction_TC = torch.empty_like(hidden_TC)
        for start in range(0, len(targets_T), _ROWS):
            rows = slice(start, start + _ROWS)
            logprobs_T[rows], probs_TV = _chunk(hidden_TC[rows], weight_VC, targets_T[rows])
            expected = probs_TV.to(weight_VC.dtype) @ weight_VC
            direction_TC[rows] = weight_VC[targets_T[rows]] - expected
        keeps_weight = ctx.needs_input_grad[1]
        kept = (hidden_TC, weight_VC, targets_T) if keeps_weight else ()
        ctx.save_for_backward(direction_TC, *kept)
        return logprobs_T

    @staticmethod
    def backward(ctx: Any, grad_T: Tensor) -> tuple[Tensor, Tensor | None, None]:
        direction_TC, *kept = ctx.saved_tensors
        grad_TC = (direction_TC * grad_T[:, None]).to(direction_TC.dtype)
        return grad_TC, _weight_gradient(grad_T, *kept) if kept else None, None


def _chunk(hidden_TC: Tensor, weight_VC: Tensor, targets_T: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probabilities of the targets [T] and probabilities of all [T, V], both float32."""
    logits_TV = (hidden_TC @ weight_VC.T).float()
    norm_T1 = logits_TV.logsumexp(dim=-1, keepdim=True)
    chosen_T1 = logits_TV.gather(1, targets_T[:, None])
    return (chosen_T1 - norm_T1)[:, 0], logits_TV.sub_(norm_T1).exp_()


def _weight_gradient(
    grad_T: Tensor, hidden_TC: Tensor, weight_VC: Tensor, targets_T: Tensor
) -> Tensor:
    """The weight's own gradient, needed when everything is trained: Σ_t g_t (e_y - p) h_t."""
    out_VC = torch.zeros_like(weight_VC)
    for start in range(0, len(targets_T), _ROWS):
        rows = slice(start, start + _ROWS)
        _, probs_TV = _chunk(hidden_TC[rows], weight_VC, targets_T[rows])
        away_TV = probs_TV.neg_()
        away_TV[torch.arange(len(away_TV)), targets_T[rows]] += 1.0
        out_VC += (away_TV * grad_T[rows, None]).to(weight_VC.dtype).T @ hidden_TC[rows]
    return out_VC
