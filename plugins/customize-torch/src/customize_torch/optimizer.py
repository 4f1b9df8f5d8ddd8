"""AdamW as a function from state to state. Knows tensors by name, and no model."""

from __future__ import annotations

from collections.abc import Mapping

import attrs
import torch
from torch import Tensor

from customize import AdamW

Tensors = Mapping[str, Tensor]


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
    squares = [gradients[name].double().square().sum() for name in sorted(gradients)]
    return float(torch.stack(squares).sum().sqrt()) if squares else 0.0


@torch.no_grad()
def step(
    tensors: Tensors, gradients: Tensors, moments: Moments, o: AdamW, norm: float
) -> tuple[dict[str, Tensor], Moments]:
    """One step of decoupled AdamW (arXiv 1711.05101, algorithm 2); nothing is changed in place."""
    clip = o.max_grad_norm / norm if o.max_grad_norm and norm > o.max_grad_norm else 1.0
    count = moments.steps + 1
    new, means, squares = {}, {}, {}
    for name, tensor in tensors.items():
        gradient = gradients[name] * clip if name in gradients else torch.zeros_like(tensor)
        mean = means[name] = moments.means[name].lerp(gradient, 1 - o.beta1)
        square = squares[name] = moments.squares[name].lerp(gradient.square(), 1 - o.beta2)
        root = (square / (1 - o.beta2**count)).sqrt_().add_(o.eps)
        decayed = tensor * (1 - o.lr * o.weight_decay)
        new[name] = decayed.addcdiv_(mean, root, value=-o.lr / (1 - o.beta1**count))
    return new, Moments(count, means, squares)
