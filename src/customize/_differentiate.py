"""Losses written as torch functions. Knows torch, and nothing of models; imported when used."""

from __future__ import annotations

import typing
from collections.abc import Callable
from typing import Any, Literal

import attrs
import numpy as np
import numpy.typing as npt

from customize._batch import Batch
from customize._errors import MissingDependency, NonFiniteError, OptionError

Couples = Literal["token", "sequence", "group", "batch"]

# A torch tensor; torch is no dependency of the core, so its types cannot be named here.
Tensor = Any


@attrs.frozen
class Differentiated:
    """A loss from a torch function of (log-probabilities [N], batch), differentiated by torch."""

    function: Callable[[Tensor, Batch], Tensor]
    couples: Couples

    def evaluate(
        self, logprobs: npt.NDArray[np.floating], batch: Batch
    ) -> tuple[float, npt.NDArray[np.float64]]:
        torch = _torch()
        with torch.enable_grad():
            leaf = torch.tensor(np.asarray(logprobs, np.float64), requires_grad=True)
            loss = self.function(leaf, batch)
            if getattr(loss, "shape", None) != torch.Size([]):
                raise OptionError(
                    f"the loss {_name(self.function)!r} must return one number, a sum over the "
                    f"batch (got shape {tuple(getattr(loss, 'shape', ()))})"
                )
            if not bool(torch.isfinite(loss)):
                raise NonFiniteError(f"the loss {_name(self.function)!r} is {float(loss)}")
            (gradient,) = torch.autograd.grad(loss, leaf)
        return float(loss.detach()), gradient.numpy()


def differentiate(
    function: Callable[[Tensor, Batch], Tensor], couples: Couples = "sequence"
) -> Differentiated:
    """A loss from a torch function ``(logprobs [N], batch) -> scalar``, which must be a sum.

    ``couples`` says what the function mixes, and so what a backend may never cut: ``token``,
    ``sequence``, ``group`` (a pair, the completions of a prompt), or ``batch``. The function gets
    float64 log-probabilities; columns of the batch are numpy arrays.
    """
    if couples not in typing.get_args(Couples):
        raise OptionError(
            f"couples must be one of {', '.join(typing.get_args(Couples))} (got {couples!r})"
        )
    return Differentiated(function, couples)


def sum_by_sequence(values: Tensor, offsets: npt.NDArray[np.int64]) -> Tensor:
    """Differentiable sums of ``values`` [N] over each sequence: a tensor [S]."""
    torch = _torch()
    owner = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    zeros = torch.zeros(len(offsets) - 1, dtype=values.dtype, device=values.device)
    return zeros.index_add(0, torch.as_tensor(owner, device=values.device), values)


def _torch() -> Any:  # the module, which the core's own dependencies do not include
    try:
        import torch
    except ImportError:
        raise MissingDependency(
            "a loss of one's own is differentiated by torch: pip install torch"
        ) from None
    return torch


def _name(function: Callable[..., object]) -> str:
    return getattr(function, "__name__", type(function).__name__)
