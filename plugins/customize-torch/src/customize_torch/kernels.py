"""What a model computes between matrix products, as a device does it best. Knows no model."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import torch
from torch import Tensor

from customize_torch import elementwise, holding


@attrs.frozen
class Kernels:
    """Functions with the meaning and the gradients of those in ``elementwise``.

    attend_new: attention of one new token for each row of a cache, see ``triton_attention``; None
        where torch does it.
    """

    name: str
    rms_norm: Callable[[Tensor, Tensor, float], Tensor]
    rotate: Callable[[Tensor, Tensor, Tensor], Tensor]
    swiglu: Callable[[Tensor, Tensor], Tensor]
    chosen: Callable[[Tensor, Tensor], Tensor]
    softmax: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
    attend_new: Callable[..., Tensor] | None = None


PLAIN = Kernels(
    "torch",
    elementwise.rms_norm,
    elementwise.rotate,
    elementwise.swiglu,
    elementwise.chosen,
    elementwise.softmax,
)


@attrs.frozen
class Place:
    """Where a base is held and computes.

    logits: how many the head may hold at once, over positions and vocabulary; it always holds
        those of a few positions.
    varlen: whether segments may go through flash attention in one call.
    sharded: whether a layer's weights are there only while it computes.
    base: how the linear layers' weights are held: one of ``holding.BASES``.
    """

    device: torch.device = attrs.field(factory=lambda: torch.device("cpu"))
    dtype: torch.dtype = torch.float32
    kernels: Kernels = PLAIN
    logits: int = 0
    varlen: bool = False
    sharded: bool = False
    base: str = holding.PLAIN
