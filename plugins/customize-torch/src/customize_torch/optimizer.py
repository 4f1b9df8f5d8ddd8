"""AdamW as a function from state to state. Knows tensors by name, and no model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import attrs
import torch
from torch import Tensor

from customize import AdamW

Tensors = Mapping[str, Tensor]
_TOGETHER = {"cpu": 1 << 20, "cuda": 1 << 26}  # numbers


@attrs.frozen(eq=False)
class Moments:
    """Decaying means of the gradient and its square, by name, and the steps taken."""

    steps: int
    means: Tensors
    squares: Tensors


def start(tensors: Tensors) -> Moments:
    """Before the first step."""
    zeros = {name: torch.zeros_like(tensor) for name, tensor in tensors.items()}
    return Moments(0, zeros, dict(zeros))


def norm_of(gradients: Tensors) -> float:
    """The Euclidean norm of all gradients together."""
    # By name: a state that was loaded has its tensors in another order, and sums round by order.
    some = [gradients[name] for name in sorted(gradients)]
    if not some:
        return 0.0
    # One after the other in float64 on processors; on devices together, summed as a tree.
    exact = None if some[0].is_cuda else torch.float64
    return float(torch.stack(torch._foreach_norm(some, 2, dtype=exact)).double().norm())


@torch.no_grad()
def step(
    tensors: Tensors, gradients: Tensors, moments: Moments, o: AdamW, norm: float
) -> tuple[dict[str, Tensor], Moments]:
    """One step of decoupled AdamW (arXiv 1711.05101, algorithm 2); nothing is changed in place."""
    clip = o.max_grad_norm / norm if o.max_grad_norm and norm > o.max_grad_norm else 1.0
    count = moments.steps + 1
    new: dict[str, Tensor] = {}
    means: dict[str, Tensor] = {}
    squares: dict[str, Tensor] = {}
    for names in _bunches(tensors):
        olds = [tensors[name] for name in names]
        wanted = [gradients[n] if n in gradients else torch.zeros_like(tensors[n]) for n in names]
        bunch = torch._foreach_mul(wanted, clip)
        mean = torch._foreach_lerp([moments.means[n] for n in names], bunch, 1 - o.beta1)
        torch._foreach_mul_(bunch, bunch)
        square = torch._foreach_lerp([moments.squares[n] for n in names], bunch, 1 - o.beta2)
        root = torch._foreach_div(square, 1 - o.beta2**count)
        torch._foreach_sqrt_(root)
        torch._foreach_add_(root, o.eps)
        changed = torch._foreach_mul(olds, 1 - o.lr * o.weight_decay)
        torch._foreach_addcdiv_(changed, mean, root, value=-o.lr / (1 - o.beta1**count))
        for out, made in ((new, changed), (means, mean), (squares, square)):
            out.update(zip(names, made, strict=True))
    return new, Moments(count, means, squares)


def _bunches(tensors: Tensors) -> Iterator[list[str]]:
    """Names to compute together: many small tensors in few calls, few large ones in little room."""
    some: list[str] = []
    size = 0
    for name, tensor in tensors.items():
        if some and size + tensor.numel() > _TOGETHER[tensor.device.type]:
            yield some
            some, size = [], 0
        some.append(name)
        size += tensor.numel()
    if some:
        yield some
