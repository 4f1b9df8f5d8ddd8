"""Products of few rows on processors: layers that read one input as one, weights laid out once.

With few rows a product waits for memory, and laying the weight out for the processor, as each call
does otherwise, takes longer than reading it. The numbers are the same to the bit. Knows no session.

Shape legend: N rows, I inputs, O outputs, R rank.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import attrs
import torch
from torch import Tensor, nn

from customize import free_bytes
from customize_torch.lora import Update

_log = logging.getLogger(__name__)
_SHARE = 0.25  # of the memory that is free that weights laid out may take
_ROWS = 32  # that the layout is made for; it serves any number


class Joint:
    """Linear layers that read the same input."""

    def __init__(self, *layers: nn.Linear) -> None:
        self.layers = layers

    def __call__(self, x: Tensor) -> Sequence[Tensor]:
        """What each layer makes of it: by one product where products are in force."""
        products = _products.get()
        if products is None:
            return [layer(x) for layer in self.layers]
        return products.joints[self](x)


@attrs.frozen(eq=False)
class Packed:
    """Frozen weights of layers, one below the other, as the processor reads them."""

    weight: Tensor
    bias_O: Tensor | None
    sizes: Sequence[int]

    @classmethod
    def of(cls, layers: Sequence[nn.Linear]) -> Packed:
        """A copy of the layers' weights, laid out."""
        weight_OI = torch.cat([layer.weight for layer in layers])
        biases = [layer.bias for layer in layers if layer.bias is not None]
        return cls(
            torch.ops.mkldnn._reorder_linear_weight(weight_OI, _ROWS),
            torch.cat(biases) if biases else None,
            [layer.out_features for layer in layers],
        )

    def __call__(self, x: Tensor) -> Tensor:
        out: Tensor = torch.ops.mkldnn._linear_pointwise(
            x, self.weight, self.bias_O, "none", [], ""
        )
        return out


@attrs.frozen(eq=False)
class Product:
    """What layers make of their input, each with its update or none."""

    packed: Packed
    updates: tuple[Tensor, Tensor] | None
    scale: float

    def __call__(self, x: Tensor) -> Sequence[Tensor]:
        x_NI = x.flatten(0, -2)
        out_NO = self.packed(x_NI)
        if self.updates is not None:
            a_RI, b_OR = self.updates
            out_NO.addmm_(x_NI @ a_RI.T, b_OR.T, alpha=self.scale)
        return out_NO.view(*x.shape[:-1], -1).split(self.packed.sizes, -1)


@attrs.frozen(eq=False)
class Products:
    """Those of all layers of a decoder, and its head's."""

    joints: Mapping[Joint, Product]
    head: Packed


_products: ContextVar[Products | None] = ContextVar("products", default=None)


@contextmanager
def multiplying(products: Products) -> Iterator[None]:
    """Inside, the decoder's layers multiply by these."""
    token = _products.set(products)
    try:
        yield
    finally:
        _products.reset(token)


class Packing:
    """A frozen base's weights laid out when they are first asked for, and kept.

    joints: every linear layer but the head is in one.
    """

    def __init__(self, joints: Mapping[Joint, Sequence[str]], head: nn.Linear) -> None:
        self._joints = joints
        self._head = head
        self._packed: tuple[Mapping[Joint, Packed], Packed] | None = None

    @torch.no_grad()
    def products(self, updates: Mapping[str, Update]) -> Products | None:
        """The base's with these updates; None where nothing is gained or memory is short."""
        if self._packed is None:
            if not self._worth_it():
                return None
            joints = {joint: Packed.of(joint.layers) for joint in self._joints}
            self._packed = joints, Packed.of([self._head])
        packed, head = self._packed
        found = {
            joint: Product(packed[joint], *_together(joint.layers, names, updates))
            for joint, names in self._joints.items()
        }
        return Products(found, head)

    def _worth_it(self) -> bool:
        weight = self._head.weight
        if not self._joints or weight.device.type != "cpu" or weight.dtype != torch.bfloat16:
            return False
        if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
            return False
        layers = [self._head, *(layer for joint in self._joints for layer in joint.layers)]
        wanted = sum(layer.weight.nbytes for layer in layers)
        free = free_bytes()
        if free is None or wanted < _SHARE * free:
            return True
        _log.info("weights stay as they are: laid out they take %.0f MB more", wanted / 1e6)
        return False


def _together(
    layers: Sequence[nn.Linear], names: Sequence[str], updates: Mapping[str, Update]
) -> tuple[tuple[Tensor, Tensor] | None, float]:
    """The layers' updates as one: A one below the other [R, I], B in blocks [O, R]; their scale."""
    there = [updates.get(name) for name in names]
    some = [update for update in there if update is not None]
    if not some:
        return None, 0.0
    a_RI = torch.cat([update.rounded[0] for update in some])
    b_OR = a_RI.new_zeros(sum(layer.out_features for layer in layers), len(a_RI))
    row = column = 0
    for layer, update in zip(layers, there, strict=True):
        if update is not None:
            rank = update.rounded[1].shape[1]
            b_OR[row : row + layer.out_features, column : column + rank] = update.rounded[1]
            column += rank
        row += layer.out_features
    return (a_RI, b_OR), some[0].scale
