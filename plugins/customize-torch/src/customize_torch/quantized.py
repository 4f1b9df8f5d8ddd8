"""Frozen weights in 8 or 4 bits, made whole in the computing type for each product and let go.

torchao makes them (its ``Int8Tensor`` and ``NF4Tensor``); whole they are, to the bit, what torchao
makes of them, in less room. bitsandbytes makes its own, and makes them whole. Only the codes live
from the forward to the backward pass. Knows no adapter and no session.

Shape legend: I inputs, O outputs, B blocks of weights, S scales with a scale of their own.
"""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from types import MappingProxyType
from typing import Any, Protocol

import attrs
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own convention
from torch import Tensor, nn

from customize import MissingDependency, ModelError
from customize_torch.holding import MAKERS, NF4_BLOCK, NF4_SCALES, PLAIN
from customize_torch.kernels import Place

_LEVELS = 127.5  # of int8 to either side, as torchao counts them
_ZERO = 0x77  # twice the code of 0.0
_IMPORTED = {"torchao": "torchao.quantization", "bitsandbytes": "bitsandbytes.functional"}


class Held(Protocol):
    """A frozen weight [O, I]."""

    def whole(self, dtype: torch.dtype) -> Tensor:
        """All of it, made anew."""

    @property
    def nbytes(self) -> int:
        """What it takes while it is not whole."""


@attrs.frozen(eq=False)
class Int8:
    """Codes times the scale of their row, the same to both sides of zero."""

    codes_OI: Tensor
    scale_O1: Tensor

    @classmethod
    def of(cls, weight_OI: Tensor) -> Int8:
        """Rounded to the nearest; the largest of a row is 127."""
        from torchao.quantization import Int8Tensor, PerRow

        largest_O1 = weight_OI.abs().amax(1, keepdim=True)
        # Divided by a tensor: by a number, GPUs divide a little otherwise, and codes would differ.
        scale_O1 = largest_O1 / torch.full_like(largest_O1, _LEVELS)
        scale_O1 = scale_O1.clamp(min=torch.finfo(torch.float32).eps)
        made = Int8Tensor.from_hp(weight_OI, PerRow(), scale=scale_O1)
        return cls(made.qdata, made.scale)

    def whole(self, dtype: torch.dtype) -> Tensor:
        return _times(self.codes_OI, self.scale_O1, dtype)

    @property
    def nbytes(self) -> int:
        return int(self.codes_OI.nbytes + self.scale_O1.nbytes)


@attrs.frozen(eq=False)
class NF4:
    """The nearest of 16 quantiles of a normal distribution, times a block's scale, which is one of
    256 around the mean of all of them (arXiv 2305.14314: nf4 with double quantization).

    pairs: two codes each. factors: of a block's scale less the mean, what it is divided by.
    """

    pairs: Tensor
    scales_BS: Tensor
    factors_B1: Tensor
    mean: Tensor
    values: Tensor
    shape: tuple[int, int]

    @classmethod
    def of(cls, weight_OI: Tensor) -> NF4:
        """Rounded to the nearest; a layer of few weights has fewer scales to one scale."""
        from torchao.quantization import to_nf4

        num_blocks = weight_OI.numel() // NF4_BLOCK
        together = math.gcd(num_blocks, NF4_SCALES)
        made = to_nf4(weight_OI, NF4_BLOCK, together)
        # Zero over a largest of zero is no number.
        empty = ~weight_OI.view(num_blocks, NF4_BLOCK).any(1)
        made.quantized_data.view(num_blocks, -1)[empty] = _ZERO
        codes = torch.arange(256, device=weight_OI.device)
        both = torch.stack([made.nf4[codes >> 4], made.nf4[codes & 15]], 1)
        return cls(
            made.quantized_data,
            made.quantized_scalers.view(-1, together),
            made.quantization_factor[:, None],
            made.scaler_mean,
            both.view(torch.float64).flatten(),
            (weight_OI.shape[0], weight_OI.shape[1]),
        )

    def whole(self, dtype: torch.dtype) -> Tensor:
        scale = (self.scales_BS / self.factors_B1 + self.mean).view(-1, 1)
        # Two numbers of 4 bytes are fetched as one of 8: it is never computed with.
        values = self.values.index_select(0, self.pairs.int()).view(torch.float32)
        return _times(values.view(-1, NF4_BLOCK), scale, dtype).view(self.shape)

    @property
    def nbytes(self) -> int:
        parts = (self.pairs, self.scales_BS, self.factors_B1, self.mean, self.values)
        return sum(int(part.nbytes) for part in parts)


@attrs.frozen(eq=False)
class BitsAndBytes:
    """nf4 with double quantization by bitsandbytes: the base that transformers loads by it.

    pairs: two codes each. state: its ``QuantState``, of a package without types.
    """

    pairs: Tensor
    state: Any

    @classmethod
    def of(cls, weight_OI: Tensor) -> BitsAndBytes:
        """Rounded to the nearest."""
        from bitsandbytes.functional import quantize_4bit

        made = quantize_4bit(
            weight_OI, blocksize=NF4_BLOCK, quant_type="nf4", compress_statistics=True
        )
        return cls(*made)

    def whole(self, dtype: torch.dtype) -> Tensor:
        from bitsandbytes.functional import QuantState, dequantize_4bit, dequantize_blockwise

        scale = dequantize_blockwise(self.state.absmax, self.state.state2) + self.state.offset
        of_type = QuantState(
            scale, self.state.shape, blocksize=NF4_BLOCK, quant_type="nf4", dtype=dtype
        )
        made: Tensor = dequantize_4bit(self.pairs, of_type)
        return made

    @property
    def nbytes(self) -> int:
        scales = self.state.state2
        parts = (self.pairs, self.state.absmax, self.state.offset, scales.absmax, scales.code)
        return sum(int(part.nbytes) for part in parts)


def _times(values: Tensor, scale: Tensor, dtype: torch.dtype) -> Tensor:
    """The product in float32, rounded once."""
    return torch.mul(values, scale, out=torch.empty_like(values, dtype=dtype))


MAKING: Mapping[str, Callable[[Tensor], Held]] = {
    "int8": Int8.of,
    "nf4": NF4.of,
    "bnb-nf4": BitsAndBytes.of,
}


@torch.no_grad()
def hold(model: nn.Module, layers: Mapping[str, nn.Linear], place: Place) -> Mapping[str, Held]:
    """Take the weights out of the model's linear layers, one by one; returns them by layer.

    All else of the model goes to its place. Nothing is done for a plain base.

    Raises:
        ModelError: the model has no such layer, or one that is not of whole blocks.
    """
    if place.base == PLAIN:
        return MappingProxyType({})
    _refuse(layers, place.base)
    held = {}
    for name, layer in layers.items():
        weight = layer.weight.to(place.device, torch.float32).contiguous()
        del layer.weight
        held[name] = MAKING[place.base](weight)
    for parameter in model.parameters():
        # A copy, so that nothing keeps the files open.
        parameter.data = parameter.to(place.device, place.dtype, copy=True)
    for module in model.modules():
        for name, buffer in module.named_buffers(recurse=False):
            setattr(module, name, buffer.to(place.device))
    return held


def _refuse(layers: Mapping[str, nn.Linear], base: str) -> None:
    if not layers:
        raise ModelError(f"base={base} is for linear layers, and this model has none: leave it out")
    odd = [name for name, one in layers.items() if one.weight.numel() % NF4_BLOCK]
    if odd and base != "int8":
        raise ModelError(
            f"base={base} holds weights in blocks of {NF4_BLOCK}, and {odd[0]} has "
            f"{layers[odd[0]].weight.numel()}: take base=int8"
        )


def check_installed(base: str) -> None:
    """Raises MissingDependency where a base is to be held so, and its maker is not there."""
    if base == PLAIN:
        return
    maker = MAKERS[base]
    try:
        with _quiet(), _hidden("kernels"):
            import_module(_IMPORTED[maker])
    except ImportError as error:
        raise MissingDependency(
            f"base={base} needs: pip install 'customize-torch[{maker}]'"
        ) from error


@contextmanager
def _hidden(name: str) -> Iterator[None]:
    """Nothing imports it inside. By ``kernels`` bitsandbytes would load code from the hub, for
    products on a processor that nobody here asks it for.
    """
    there = sys.modules.get(name)
    sys.modules[name] = None  # type: ignore[assignment]  # as the import system documents it
    try:
        yield
    finally:
        del sys.modules[name]
        if there is not None:
            sys.modules[name] = there


@contextmanager
def _quiet() -> Iterator[None]:
    """It warns of kernels for other devices than this one, which nobody here asks for."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def linear(x: Tensor, held: Held, bias_O: Tensor | None) -> Tensor:
    """``F.linear`` with a held weight; between the passes only the codes are there."""
    out: Tensor = _Product.apply(x, held, bias_O)
    return out


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, held: Held, bias_O: Tensor | None) -> Tensor:
        ctx.held = held
        return F.linear(x, held.whole(x.dtype), bias_O)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return grad @ ctx.held.whole(grad.dtype), None, None
