"""What a model does between matrix products, each with the one gradient it needs.

The values are those of transformers' eager modules, in 16 bits operation by operation, in float32
up to the order of sums; what is saved for the backward pass is only what they were made from. Knows
no model.

Shape legend: N tokens, C channels, H heads, D head dimension, I inner channels, T scored
positions, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own convention
from torch import Tensor

_CACHED = 1 << 19  # numbers


def rms_norm(x: Tensor, weight_C: Tensor, eps: float) -> Tensor:
    """Root mean square layer normalization (arXiv 1910.07467) over the last dimension, in fp32."""
    if not torch.is_grad_enabled():  # a function's own step takes as long as few rows do
        return _normed(x, weight_C, eps)[0]
    out: Tensor = _RMSNorm.apply(x, weight_C, eps)
    return out


def rotate(x_HND: Tensor, cos_ND: Tensor, sin_ND: Tensor) -> Tensor:
    """Rotary position embedding (arXiv 2104.09864), halves side by side."""
    if not torch.is_grad_enabled():
        return _turned(x_HND, cos_ND, sin_ND)
    out: Tensor = _Rotate.apply(x_HND, cos_ND, sin_ND)
    return out


def swiglu(gate_NI: Tensor, up_NI: Tensor) -> Tensor:
    """``silu(gate) · up`` (arXiv 2002.05202)."""
    if not torch.is_grad_enabled():
        return _gated(gate_NI, up_NI)
    out: Tensor = _SwiGLU.apply(gate_NI, up_NI)
    return out


def chosen(logits_TV: Tensor, targets_T: Tensor) -> Tensor:
    """Log-probabilities of the targets, float32 [T]. Has no gradient of its own."""
    return _softmaxed(logits_TV, targets_T, writes=False)


def softmax(logits_TV: Tensor, targets_T: Tensor) -> tuple[Tensor, Tensor]:
    """The same, and the probabilities of all, [T, V], written over the logits."""
    return _softmaxed(logits_TV, targets_T, writes=True), logits_TV


def _softmaxed(logits_TV: Tensor, targets_T: Tensor, writes: bool) -> Tensor:
    """By as few rows as a processor's cache holds, in float32."""
    logprobs_T = torch.empty_like(targets_T, dtype=torch.float32)
    rows = max(1, _CACHED // logits_TV.shape[1])
    parts = (x.split(rows) for x in (logits_TV, targets_T, logprobs_T))
    for some_TV, y_T, out_T in zip(*parts, strict=True):
        exact_TV = some_TV.float() - some_TV.amax(-1, keepdim=True)
        chosen_T = exact_TV.gather(1, y_T[:, None])[:, 0]
        total_T1 = exact_TV.exp_().sum(-1, keepdim=True)
        torch.sub(chosen_T, total_T1[:, 0].log(), out=out_T)
        if writes:
            torch.div(exact_TV, total_T1, out=some_TV)
    return logprobs_T


class _RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight_C: Tensor, eps: float) -> Tensor:
        out, rstd = _normed(x, weight_C, eps)
        ctx.save_for_backward(x, rstd, weight_C)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None, None]:
        x, rstd, weight_C = ctx.saved_tensors
        normed = x.float() * rstd
        grad_weight = None
        if ctx.needs_input_grad[1]:
            grad_weight = (grad * normed.to(x.dtype)).flatten(0, -2).sum(0)
        wanted = (grad * weight_C).float()
        along = torch.linalg.vecdot(wanted, normed).div_(x.shape[-1])[..., None]
        return wanted.addcmul_(normed, along, value=-1).mul_(rstd).to(x.dtype), grad_weight, None


def _normed(x: Tensor, weight_C: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """The output, and what each vector was multiplied with."""
    exact = x.float()
    rstd = _mean_square(exact, x.dtype == torch.float32).add_(eps).rsqrt_()
    return (exact * rstd).to(x.dtype).mul_(weight_C), rstd


def _mean_square(x: Tensor, in_one_pass: bool) -> Tensor:
    """Of the last dimension, which is kept; in one pass it is rounded a little otherwise."""
    if in_one_pass:
        return torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_().div_(x.shape[-1])
    return x.square().mean(-1, keepdim=True)


class _Rotate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_HND: Tensor, cos_ND: Tensor, sin_ND: Tensor) -> Tensor:
        ctx.save_for_backward(cos_ND, sin_ND)
        return _turned(x_HND, cos_ND, sin_ND)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        cos_ND, sin_ND = ctx.saved_tensors
        return _turned(grad, cos_ND, -sin_ND), None, None


def _turned(x_HND: Tensor, cos_ND: Tensor, sin_ND: Tensor) -> Tensor:
    first, second = x_HND.chunk(2, dim=-1)
    out_HND = x_HND * cos_ND
    if x_HND.dtype != torch.float32:  # every product is rounded, as transformers' is
        return out_HND.add_(torch.cat((-second, first), dim=-1).mul_(sin_ND))
    left, right = out_HND.chunk(2, dim=-1)
    sine_left, sine_right = sin_ND.chunk(2, dim=-1)
    left.addcmul_(second, sine_left, value=-1)
    right.addcmul_(first, sine_right)
    return out_HND


class _SwiGLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gate_NI: Tensor, up_NI: Tensor) -> Tensor:
        ctx.save_for_backward(gate_NI, up_NI)
        return _gated(gate_NI, up_NI)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        gate_NI, up_NI = ctx.saved_tensors
        grad_gate = torch.ops.aten.silu_backward(grad * up_NI, gate_NI)
        return grad_gate, F.silu(gate_NI).mul_(grad)


def _gated(gate_NI: Tensor, up_NI: Tensor) -> Tensor:
    return F.silu(gate_NI).mul_(up_NI)
