"""Weights that lie one below the other, as a GPU multiplies few rows by them. Knows no update.

Shape legend: I inputs, O outputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache

import attrs
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own convention
from torch import Tensor, nn

from customize_torch.kernels import Place


@attrs.frozen(eq=False)
class Stacked:
    """Frozen weights of layers that lie one below the other already."""

    weight_OI: Tensor
    bias_O: Tensor | None
    sizes: Sequence[int]

    @classmethod
    def of(cls, layers: Sequence[nn.Linear]) -> Stacked:
        """The layers' own weights: nothing is copied."""
        first = layers[0].weight
        sizes = [layer.out_features for layer in layers]
        return cls(
            first.detach().as_strided((sum(sizes), first.shape[1]), first.stride()),
            joined_bias(layers),
            sizes,
        )

    def __call__(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight_OI, self.bias_O)


def lies_stacked(device: torch.device) -> bool:
    """Whether weights that read one input lie one below the other there."""
    return device.type == "cuda"


def room_for(layers: Sequence[nn.Linear], place: Place) -> Sequence[Tensor]:
    """For each layer's weight, one below the other."""
    sizes = [layer.out_features for layer in layers]
    shape = sum(sizes), layers[0].in_features
    return torch.empty(shape, dtype=place.dtype, device=place.device).split(sizes)


def is_stacked(layers: Sequence[nn.Linear]) -> bool:
    """Whether the weights are parts of one tensor, one below the other."""
    weights = [layer.weight for layer in layers]
    starts = [weight.storage_offset() for weight in weights]
    ends = [start + w.numel() for start, w in zip(starts, weights, strict=True)]
    return (
        len({weight.untyped_storage().data_ptr() for weight in weights}) == 1
        and all(weight.is_contiguous() for weight in weights)
        and starts[1:] == ends[:-1]
    )


def joined_bias(layers: Sequence[nn.Linear]) -> Tensor | None:
    biases = [layer.bias for layer in layers if layer.bias is not None]
    return torch.cat(biases) if biases else None


@contextmanager
def beside(device: torch.device) -> Iterator[None]:
    """What is computed inside takes no time of what follows, where a device can do two things."""
    if device.type != "cuda":
        yield
        return
    aside = _aside(device)
    aside.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(aside):
        yield


def wait(device: torch.device) -> None:
    """For what was computed beside."""
    if device.type == "cuda":
        torch.cuda.current_stream(device).wait_stream(_aside(device))


@cache
def _aside(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)
