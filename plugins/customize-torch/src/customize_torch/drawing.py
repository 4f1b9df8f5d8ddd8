"""Tokens drawn from logits. Knows no model and no cache.

Completion j of a prompt draws its token t from a counter-based generator keyed (seed, j, t), so
order and batch size change nothing but what rounding does.

Shape legend: R rows, V vocabulary, T tokens to come.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from customize import Sampling

Doubles = npt.NDArray[np.float64]


class Drawing:
    """Rows that draw a token a step. ``keys``: seed and index of each."""

    def __init__(
        self, keys: Sequence[tuple[int, int]], sampling: Sampling, device: torch.device
    ) -> None:
        self._sampling = sampling
        uniforms = [_uniforms(seed, index, sampling.max_tokens) for seed, index in keys]
        self._uniforms_RT = torch.from_numpy(np.stack(uniforms)).float().to(device)

    def draw(self, logits_RV: Tensor, step: int) -> Tensor:
        """Token, its log-probability, and that which it was drawn from: float64 [3, R]."""
        plain_RV = torch.log_softmax(logits_RV, dim=-1)
        if self._sampling.temperature == 0:
            chosen_R1 = plain_RV.argmax(dim=-1, keepdim=True)
            drawn_R1 = torch.zeros_like(plain_RV[:, :1])
        else:
            shaped_RV = _shape(logits_RV, plain_RV, self._sampling)
            mass_RV = shaped_RV.double().exp().cumsum(dim=-1)
            wanted_R1 = self._uniforms_RT[:, step : step + 1].double() * mass_RV[:, -1:]
            chosen_R1 = torch.searchsorted(mass_RV, wanted_R1, right=True)
            chosen_R1 = chosen_R1.clamp(max=mass_RV.shape[1] - 1)
            drawn_R1 = shaped_RV.gather(1, chosen_R1)
        columns = (chosen_R1, plain_RV.gather(1, chosen_R1), drawn_R1)
        return torch.stack([column[:, 0].double() for column in columns])

    def keep(self, rows_R: Tensor) -> None:
        """Only these rows go on."""
        self._uniforms_RT = self._uniforms_RT[rows_R]


def _shape(logits_RV: Tensor, plain_RV: Tensor, sampling: Sampling) -> Tensor:
    """Log-probabilities after temperature, top-k and top-p, in that order."""
    shaped_RV = plain_RV
    if sampling.temperature != 1:
        shaped_RV = torch.log_softmax(logits_RV / sampling.temperature, dim=-1)
    if not sampling.top_k and sampling.top_p >= 1:
        return shaped_RV
    ordered_RV, order_RV = shaped_RV.sort(dim=-1, descending=True, stable=True)
    cut_RV = torch.zeros_like(ordered_RV, dtype=torch.bool)
    if sampling.top_k:
        cut_RV[:, sampling.top_k :] = True
    if sampling.top_p < 1:
        before_RV = ordered_RV.exp().cumsum(dim=-1) - ordered_RV.exp()
        cut_RV |= before_RV >= sampling.top_p
    ordered_RV = ordered_RV.masked_fill(cut_RV, -torch.inf)
    return torch.log_softmax(torch.empty_like(shaped_RV).scatter_(1, order_RV, ordered_RV), dim=-1)


def _uniforms(seed: int, index: int, count: int) -> Doubles:
    """One for each token to come: the first of the four that each counter gives."""
    key = np.array([seed % 2**64, index], np.uint64)
    return np.random.Generator(np.random.Philox(key=key)).random(4 * count)[::4]
