"""The kernels of ``elementwise`` in Triton: one pass over memory where torch makes many.

Rounding is that of the plain ones, operation by operation. Imports triton, which torch brings along
where it computes on a GPU. Knows no model.

Shape legend: N tokens, C channels, H heads, D head dimension, I inner channels.
"""

# Arguments of kernels are triton's own: pointers and numbers that have no type in Python.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from customize_torch import elementwise
from customize_torch.kernels import Kernels
from customize_torch.triton_attention import attend_new

_BLOCK, _WIDE_BLOCK = 1024, 4096


def rms_norm(x: Tensor, weight_C: Tensor, eps: float) -> Tensor:
    """Root mean square layer normalization over the last dimension, in fp32."""
    if weight_C.requires_grad:
        return elementwise.rms_norm(x, weight_C, eps)
    out: Tensor = _RMSNorm.apply(x, weight_C, eps)
    return out


def rotate(x_HND: Tensor, cos_ND: Tensor, sin_ND: Tensor) -> Tensor:
    """Rotary position embedding, halves side by side."""
    out: Tensor = _Rotate.apply(x_HND, cos_ND, sin_ND)
    return out


def swiglu(gate_NI: Tensor, up_NI: Tensor) -> Tensor:
    """``silu(gate) · up``."""
    out: Tensor = _SwiGLU.apply(gate_NI, up_NI)
    return out


def chosen(logits_TV: Tensor, targets_T: Tensor) -> Tensor:
    """Log-probabilities of the targets, float32 [T]."""
    return _softmaxed(logits_TV, targets_T, writes=False)


def softmax(logits_TV: Tensor, targets_T: Tensor) -> tuple[Tensor, Tensor]:
    """The same, and the probabilities of all, [T, V], written over the logits."""
    return _softmaxed(logits_TV, targets_T, writes=True), logits_TV


KERNELS = Kernels("triton", rms_norm, rotate, swiglu, chosen, softmax, attend_new)


class _RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight_C: Tensor, eps: float) -> Tensor:
        x_NC = x.reshape(-1, x.shape[-1])
        rows, channels = x_NC.shape
        y_NC = torch.empty_like(x_NC, memory_format=torch.contiguous_format)
        rstd_N = torch.empty(rows, dtype=torch.float32, device=x.device)
        _norm_forward[(rows,)](
            *(x_NC, weight_C, y_NC, rstd_N, x_NC.stride(0), channels, eps),
            block=triton.next_power_of_2(channels),
        )
        ctx.save_for_backward(x_NC, rstd_N, weight_C)
        return y_NC.view(x.shape)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        x_NC, rstd_N, weight_C = ctx.saved_tensors
        rows, channels = x_NC.shape
        grad_NC = grad.reshape(rows, channels)
        out_NC = torch.empty_like(x_NC, memory_format=torch.contiguous_format)
        strides = grad_NC.stride(0), x_NC.stride(0)
        _norm_backward[(rows,)](
            *(grad_NC, x_NC, weight_C, rstd_N, out_NC, *strides, channels),
            block=triton.next_power_of_2(channels),
        )
        return out_NC.view(grad.shape), None, None


class _Rotate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_HND: Tensor, cos_ND: Tensor, sin_ND: Tensor) -> Tensor:
        ctx.save_for_backward(cos_ND, sin_ND)
        return _turned(x_HND, cos_ND, sin_ND, 1.0)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        cos_ND, sin_ND = ctx.saved_tensors
        return _turned(grad, cos_ND, sin_ND, -1.0), None, None


class _SwiGLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gate_NI: Tensor, up_NI: Tensor) -> Tensor:
        ctx.save_for_backward(gate_NI, up_NI)
        gate, up = gate_NI.flatten(0, -2), up_NI.flatten(0, -2)
        out = torch.empty_like(gate, memory_format=torch.contiguous_format)
        rows, inner = gate.shape
        _swiglu_forward[rows, triton.cdiv(inner, _BLOCK)](
            *(gate, up, out, gate.stride(0), up.stride(0), inner), block=_BLOCK
        )
        return out.view(gate_NI.shape)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        gate, up = (x.contiguous() for x in ctx.saved_tensors)
        grad_gate, grad_up = torch.empty_like(gate), torch.empty_like(up)
        _swiglu_backward[_blocks(gate)](
            grad.contiguous(), gate, up, grad_gate, grad_up, gate.numel(), block=_BLOCK
        )
        return grad_gate, grad_up


def _softmaxed(logits_TV: Tensor, targets_T: Tensor, writes: bool) -> Tensor:
    rows, vocabulary = logits_TV.shape
    logprobs_T = torch.empty(rows, dtype=torch.float32, device=logits_TV.device)
    _softmax[(rows,)](
        *(logits_TV, targets_T, logprobs_T, logits_TV.stride(0), vocabulary),
        writes=writes,
        block=min(_WIDE_BLOCK, triton.next_power_of_2(vocabulary)),
    )
    return logprobs_T


def _blocks(x: Tensor) -> tuple[int]:
    return (triton.cdiv(x.numel(), _BLOCK),)


def _turned(x_HND: Tensor, cos_ND: Tensor, sin_ND: Tensor, sign: float) -> Tensor:
    """[1, H, N, D], which lies in memory as [1, N, H, D], as attention reads it."""
    _, heads, tokens, dim = x_HND.shape
    if x_HND.stride(-1) != 1:
        x_HND = x_HND.contiguous()
    out_NHD = torch.empty(tokens, heads, dim, dtype=x_HND.dtype, device=x_HND.device)
    _rotate_pairs[(tokens,)](
        *(x_HND, cos_ND, sin_ND, out_NHD, x_HND.stride(1), x_HND.stride(2), heads, dim // 2, sign),
        block_heads=triton.next_power_of_2(heads),
        block_half=triton.next_power_of_2(dim // 2),
    )
    return out_NHD.transpose(0, 1)[None]


@triton.jit
def _norm_forward(x, weight, y, rstd, stride, channels, eps, block: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    at = tl.arange(0, block)
    inside = at < channels
    exact = tl.load(x + row * stride + at, mask=inside, other=0.0).to(tl.float32)
    scale = 1.0 / tl.sqrt(tl.sum(exact * exact, axis=0) / channels + eps)
    tl.store(rstd + row, scale)
    normed = (exact * scale).to(y.dtype.element_ty).to(tl.float32)
    weights = tl.load(weight + at, mask=inside, other=0.0).to(tl.float32)
    tl.store(y + row * channels + at, (normed * weights).to(y.dtype.element_ty), mask=inside)


@triton.jit
def _norm_backward(grad, x, weight, rstd, out, grad_stride, stride, channels, block: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    at = tl.arange(0, block)
    inside = at < channels
    scale = tl.load(rstd + row)
    normed = tl.load(x + row * stride + at, mask=inside, other=0.0).to(tl.float32) * scale
    given = tl.load(grad + row * grad_stride + at, mask=inside, other=0.0).to(tl.float32)
    weights = tl.load(weight + at, mask=inside, other=0.0).to(tl.float32)
    wanted = (given * weights).to(out.dtype.element_ty).to(tl.float32)
    along = tl.sum(wanted * normed, axis=0) / channels
    result = (wanted - normed * along) * scale
    tl.store(out + row * channels + at, result.to(out.dtype.element_ty), mask=inside)


@triton.jit
def _softmax(
    logits, targets, logprobs, stride, vocabulary, writes: tl.constexpr, block: tl.constexpr
):
    row = tl.program_id(0).to(tl.int64)
    at = tl.arange(0, block)
    largest = -float("inf")
    total = 0.0
    for start in range(0, vocabulary, block):
        inside = start + at < vocabulary
        some = tl.load(logits + row * stride + start + at, mask=inside, other=-float("inf"))
        some = some.to(tl.float32)
        new = tl.maximum(largest, tl.max(some, axis=0))
        total = total * tl.exp(largest - new) + tl.sum(tl.exp(some - new), axis=0)
        largest = new
    norm = largest + tl.log(total)
    target = tl.load(logits + row * stride + tl.load(targets + row)).to(tl.float32)
    tl.store(logprobs + row, target - norm)
    if writes:
        tl.debug_barrier()
        for start in range(0, vocabulary, block):
            inside = start + at < vocabulary
            some_at = logits + row * stride + start + at
            some = tl.load(some_at, mask=inside, other=0.0).to(tl.float32)
            tl.store(some_at, tl.exp(some - norm).to(logits.dtype.element_ty), mask=inside)


@triton.jit
def _rotate_pairs(
    x,
    cos,
    sin,
    out,
    head_stride,
    token_stride,
    heads,
    half,
    sign,
    block_heads: tl.constexpr,
    block_half: tl.constexpr,
):
    token = tl.program_id(0).to(tl.int64)
    head = tl.arange(0, block_heads)[:, None]
    at = tl.arange(0, block_half)[None, :]
    inside = (head < heads) & (at < half)
    kind: tl.constexpr = out.dtype.element_ty
    first_at = x + token * token_stride + head * head_stride + at
    first = tl.load(first_at, mask=inside, other=0.0).to(tl.float32)
    second = tl.load(first_at + half, mask=inside, other=0.0).to(tl.float32)
    row = token * 2 * half + at
    left = _rounded_product(first, cos + row, at < half, kind)
    left -= _rounded_product(second * sign, sin + row, at < half, kind)
    right = _rounded_product(second, cos + row + half, at < half, kind)
    right += _rounded_product(first * sign, sin + row + half, at < half, kind)
    out_at = out + (token * heads + head) * 2 * half + at
    tl.store(out_at, left.to(kind), mask=inside)
    tl.store(out_at + half, right.to(kind), mask=inside)


@triton.jit
def _rounded_product(x, factor, inside, kind: tl.constexpr):
    by = tl.load(factor, mask=inside, other=0.0).to(tl.float32)
    return (x * by).to(kind).to(tl.float32)


@triton.jit
def _swiglu_forward(gate, up, out, gate_stride, up_stride, inner, block: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    at = tl.program_id(1) * block + tl.arange(0, block)
    inside = at < inner
    kind = out.dtype.element_ty
    g = tl.load(gate + row * gate_stride + at, mask=inside, other=0.0).to(tl.float32)
    u = tl.load(up + row * up_stride + at, mask=inside, other=0.0).to(tl.float32)
    silu = (g / (1.0 + tl.exp(-g))).to(kind).to(tl.float32)
    tl.store(out + row * inner + at, (silu * u).to(kind), mask=inside)


@triton.jit
def _swiglu_backward(grad, gate, up, grad_gate, grad_up, size, block: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    inside = at < size
    kind = grad_gate.dtype.element_ty
    d = tl.load(grad + at, mask=inside, other=0.0).to(tl.float32)
    g = tl.load(gate + at, mask=inside, other=0.0).to(tl.float32)
    u = tl.load(up + at, mask=inside, other=0.0).to(tl.float32)
    sigmoid = 1.0 / (1.0 + tl.exp(-g))
    through = (d * u).to(kind).to(tl.float32)
    tl.store(
        grad_gate + at, (through * sigmoid * (1.0 + g * (1.0 - sigmoid))).to(kind), mask=inside
    )
    tl.store(grad_up + at, ((g * sigmoid).to(kind).to(tl.float32) * d).to(kind), mask=inside)
