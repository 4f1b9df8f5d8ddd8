"""Losses of pairs, with their gradients. Know log-probabilities, and neither tokens nor models.

Each takes what the policy and the reference say of a pair's answers, and gives one loss a pair and
its gradient by the policy's log-probabilities. They are sums over an answer's tokens, or means with
``length_normalize``; those of simpo and orpo are always means, and know no reference.

Shape legend: P pairs, 2 its sides: chosen, rejected. In equations h is the policy's log-probability
of the chosen answer less that of the rejected, less the same of the reference.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from inspect import Parameter, signature
from typing import Any

import numpy as np
import numpy.typing as npt

from customize import MissingDependency, OptionError

Numbers = npt.NDArray[np.float64]
Terms = tuple[Numbers, Numbers]
PairLoss = Callable[[Numbers, Numbers], Terms]
Tensor = Any  # torch is no dependency of this distribution


def sigmoid(policy_P2: Numbers, reference_P2: Numbers, beta: float) -> Terms:
    """``-log σ(beta · h)`` (arXiv 2305.18290, equation 7)."""
    h = _margin(policy_P2 - reference_P2)
    return _softplus(-beta * h), _both_sides(-beta * _sigmoid(-beta * h))


def ipo(policy_P2: Numbers, reference_P2: Numbers, beta: float) -> Terms:
    """``(h - 1 / (2 · beta))²`` (arXiv 2310.12036, equation 17)."""
    away = _margin(policy_P2 - reference_P2) - 1 / (2 * beta)
    return away**2, _both_sides(2 * away)


def hinge(policy_P2: Numbers, reference_P2: Numbers, beta: float) -> Terms:
    """``max(0, 1 - beta · h)`` (arXiv 2309.06657, equation 10, its gamma beta)."""
    short = 1 - beta * _margin(policy_P2 - reference_P2)
    return np.maximum(short, 0), _both_sides(np.where(short > 0, -beta, 0.0))


def robust(policy_P2: Numbers, reference_P2: Numbers, beta: float, smoothing: float) -> Terms:
    """``((1 - s) · sigmoid(h) - s · sigmoid(-h)) / (1 - 2s)``: unbiased where a share s of the
    pairs is labelled the wrong way round (arXiv 2403.00409, rDPO; TRL's loss robust)."""
    kept, by_kept = sigmoid(policy_P2, reference_P2, beta)
    flipped, by_flipped = sigmoid(policy_P2[:, ::-1], reference_P2[:, ::-1], beta)
    scale = 1 - 2 * smoothing
    value = ((1 - smoothing) * kept - smoothing * flipped) / scale
    return value, ((1 - smoothing) * by_kept - smoothing * by_flipped[:, ::-1]) / scale


def simpo(policy_P2: Numbers, reference_P2: Numbers, beta: float, gamma: float) -> Terms:
    """``-log σ(beta · (chosen - rejected) - gamma)``, of means (arXiv 2405.14734, equation 6)."""
    reward = beta * _margin(policy_P2) - gamma
    return _softplus(-reward), _both_sides(-beta * _sigmoid(-reward))


def orpo(policy_P2: Numbers, reference_P2: Numbers, beta: float) -> Terms:
    """``-chosen - beta · log σ(log odds(chosen) - log odds(rejected))``, of means
    (arXiv 2403.07691, equations 6 and 7, beta its λ)."""
    unsaid = np.maximum(-np.expm1(policy_P2), _LEAST)  # 1 - p
    ratio = _margin(policy_P2 - np.log(unsaid))
    by_odds = _both_sides(-beta * _sigmoid(-ratio)) / unsaid
    return beta * _softplus(-ratio) - policy_P2[:, 0], by_odds - [1.0, 0.0]


NAMED: dict[str, Callable[..., Terms]] = {
    "sigmoid": sigmoid,
    "ipo": ipo,
    "hinge": hinge,
    "robust": robust,
    "simpo": simpo,
    "orpo": orpo,
}
REFERENCE_FREE = ("simpo", "orpo")
_LEAST = 2.0**-24  # what float32 can leave to all other answers: one that is certain leaves 0


def differentiated(function: Callable[[Tensor, Tensor], Tensor]) -> PairLoss:
    """The loss that a torch function gives: ``(policy [P, 2], reference [P, 2]) -> losses [P]``."""
    try:
        import torch
    except ImportError:
        raise MissingDependency(
            "a loss of one's own is differentiated by torch: pip install torch"
        ) from None

    def evaluate(policy_P2: Numbers, reference_P2: Numbers) -> Terms:
        with torch.enable_grad():
            policy = torch.tensor(policy_P2, requires_grad=True)
            losses = function(policy, torch.tensor(reference_P2))
            shape = tuple(getattr(losses, "shape", ()))
            if shape != (len(policy_P2),):
                raise OptionError(
                    f"the loss must return one number for each of {len(policy_P2)} pairs "
                    f"(got shape {shape})"
                )
            (gradient,) = torch.autograd.grad(losses.sum(), policy)
        return losses.detach().numpy(), gradient.numpy()

    return evaluate


def with_beta(
    function: Callable[..., Tensor], beta: float, unset: float
) -> Callable[[Tensor, Tensor], Tensor]:
    """A function of one's own with ``beta``, where it takes that; ``unset`` is its default.

    Raises:
        OptionError: it takes none and one was set, or has another of its own.
    """
    name = getattr(function, "__name__", type(function).__name__)
    taken = signature(function).parameters.get("beta")
    if taken is None:
        if beta != unset:
            raise OptionError(
                f"beta is {beta:g}, and the loss {name} takes none: leave it out, or write "
                f"{name}(policy, reference, beta)"
            )
        return function
    if beta == unset and taken.default not in (Parameter.empty, beta):
        raise OptionError(
            f"the loss {name} has a beta of its own, {taken.default}, and the option is {beta:g}: "
            "set the option beta, or take the default out of the function"
        )
    return partial(function, beta=beta)


def _margin(values_P2: Numbers) -> Numbers:
    return values_P2[:, 0] - values_P2[:, 1]


def _both_sides(by_margin_P: Numbers) -> Numbers:
    """The gradient by each side from that by the margin."""
    return np.stack([by_margin_P, -by_margin_P], axis=1)


def _softplus(x: Numbers) -> Numbers:
    return np.logaddexp(0.0, x)


def _sigmoid(x: Numbers) -> Numbers:
    return np.exp(-_softplus(-x))
