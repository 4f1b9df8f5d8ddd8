"""Products of few rows: layers that read one input multiply as one. Knows no session.

With few rows a product waits for memory. On a processor, laying the weight out for it, as each call
does otherwise, takes longer than reading it: that is done once, and the numbers are the same, in
bfloat16 to the bit. In float32 updates may be added into what is laid out, for many rows and steps:
so they cost these nothing, and change the numbers by their last digits. A GPU has as many kernels
less to start, and computes an update's first product beside the base's.

Shape legend: N rows, I inputs, O outputs, R rank.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cached_property

import attrs
import torch
from torch import Tensor, nn

from customize import free_bytes
from customize_torch.lora import Update
from customize_torch.stacking import (
    Stacked,
    beside,
    is_stacked,
    joined_bias,
    lies_stacked,
    wait,
)

_log = logging.getLogger(__name__)
_SHARE = 0.25  # of the memory that is free that weights laid out may take
_ROWS = 32  # that the layout is made for; it serves any number


class Joint:
    """Linear layers that read the same input.

    together: what each makes of it, where no products are in force.
    """

    def __init__(self, *layers: nn.Linear) -> None:
        self.layers = layers
        self.together: Callable[[Tensor], Sequence[Tensor]] = self._each

    def __call__(self, x: Tensor) -> Sequence[Tensor]:
        """What each layer makes of it: by one product where products are in force."""
        products = _products.get()
        return self.together(x) if products is None else products.joints[self](x)

    def _each(self, x: Tensor) -> Sequence[Tensor]:
        return [layer(x) for layer in self.layers]


@attrs.frozen(eq=False)
class Joined:
    """The updates of layers that read one input as one, turned round as rows multiply by them:
    their A beside one another, B in blocks.
    """

    a_IR: Tensor
    b_RO: Tensor
    scale: float


@attrs.frozen(eq=False)
class Packed:
    """Frozen weights of layers, one below the other, as the processor reads them."""

    weight: Tensor
    bias_O: Tensor | None
    sizes: Sequence[int]

    @classmethod
    def of(cls, layers: Sequence[nn.Linear], update: Joined | None = None) -> Packed:
        """A copy of the layers' weights, laid out; with what is added to them."""
        weight_OI = torch.cat([layer.weight for layer in layers])
        if update is not None:
            weight_OI.addmm_(update.b_RO.T, update.a_IR.T, alpha=update.scale)
        return cls(
            torch.ops.mkldnn._reorder_linear_weight(weight_OI, _ROWS),
            joined_bias(layers),
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

    base: Packed | Stacked
    update: Joined | None

    def __call__(self, x: Tensor) -> Sequence[Tensor]:
        x_NI = x.flatten(0, -2)
        if self.update is None:
            out_NO = self.base(x_NI)
        else:
            with beside(x_NI.device):
                down_NR = x_NI @ self.update.a_IR
            out_NO = self.base(x_NI)
            wait(x_NI.device)
            out_NO.addmm_(down_NR, self.update.b_RO, alpha=self.update.scale)
        return out_NO.view(*x.shape[:-1], -1).split(self.base.sizes, -1)


@attrs.frozen(eq=False)
class Products:
    """Those of all layers of a decoder, and its head's."""

    joints: Mapping[Joint, Product]
    head: Packed | Stacked


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
    """A frozen base's weights as few rows are multiplied by them: made when first asked for.

    joints: every linear layer but the head is in one.
    """

    def __init__(self, joints: Mapping[Joint, Sequence[str]], head: nn.Linear) -> None:
        self._joints = joints
        self._head = head
        self._bases: Mapping[Joint, Packed | Stacked] = {}

    @torch.no_grad()
    def products(self, updates: Mapping[str, Update], many: bool = False) -> Products | None:
        """The base's with these updates; None where nothing is gained or memory is short.

        many: whether so many rows and steps are multiplied that adding the updates into a copy of
            the weights is worth its time. The base's own copy is let go for it.
        """
        kind = self._kind
        if kind is None:
            return None
        merges = many and bool(updates) and kind is Packed and self._may_merge()
        if merges:
            self._bases = {}
        if not self._bases and not self._has_room(kind):
            return None
        joined = {
            joint: _together(joint.layers, names, updates) for joint, names in self._joints.items()
        }
        if merges:
            found = {j: Product(Packed.of(j.layers, joined[j]), None) for j in joined}
        else:
            self._bases = self._bases or {joint: kind.of(joint.layers) for joint in joined}
            found = {j: Product(self._bases[j], joined[j]) for j in joined}
        return Products(found, self._laid_head)

    @cached_property
    def _kind(self) -> type[Packed | Stacked] | None:
        weight = self._head.weight
        if not self._joints:
            return None
        if lies_stacked(weight.device):
            stacked = all(is_stacked(joint.layers) for joint in self._joints)
            return Stacked if stacked else None
        return Packed if weight.device.type == "cpu" and _can_lay_out(weight.dtype) else None

    @cached_property
    def _laid_head(self) -> Packed | Stacked:
        assert self._kind is not None
        return self._kind.of([self._head])

    def _may_merge(self) -> bool:
        """In 16 bits a merged weight is rounded, and training would find other probabilities."""
        return self._head.weight.dtype == torch.float32

    def _has_room(self, kind: type[Packed | Stacked]) -> bool:
        if kind is Stacked:
            return True  # nothing is copied
        layers = [self._head, *(layer for joint in self._joints for layer in joint.layers)]
        wanted = sum(layer.weight.nbytes for layer in layers)
        free = free_bytes()
        if free is None or wanted < _SHARE * free:
            return True
        _log.info("weights stay as they are: laid out they take %.0f MB more", wanted / 1e6)
        return False


def _can_lay_out(dtype: torch.dtype) -> bool:
    """Whether this processor multiplies such numbers by what oneDNN laid out."""
    if dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return dtype == torch.float32 and torch.backends.mkldnn.is_available()


def _together(
    layers: Sequence[nn.Linear], names: Sequence[str], updates: Mapping[str, Update]
) -> Joined | None:
    """The layers' updates as one; None where they have none."""
    there = [updates.get(name) for name in names]
    some = [update for update in there if update is not None]
    if not some:
        return None
    a_RI = torch.cat([update.rounded[0] for update in some])
    b_OR = a_RI.new_zeros(sum(layer.out_features for layer in layers), len(a_RI))
    row = column = 0
    for layer, update in zip(layers, there, strict=True):
        if update is not None:
            rank = update.rounded[1].shape[1]
            b_OR[row : row + layer.out_features, column : column + rank] = update.rounded[1]
            column += rank
        row += layer.out_features
    return Joined(a_RI.T, b_OR.T, some[0].scale)
