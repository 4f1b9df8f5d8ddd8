"""Tokens drawn from logits. Knows no model and no cache.

Completion j of a prompt draws its token t from a counter-based generator keyed (seed, j, t), so
order and batch size change nothing but what rounding does.

Shape legend: R rows, V vocabulary, T tokens to come, B blocks of K tokens.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own convention
from torch import Tensor

from customize import Sampling

Doubles = npt.NDArray[np.float64]

_CACHED = 1 << 19  # numbers that a processor's cache holds: rows are drawn for in as many
_BLOCK = 512  # tokens


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
        num_rows, size = logits_RV.shape
        rows = num_rows if logits_RV.is_cuda else max(1, _CACHED // size)
        uniforms_R1 = self._uniforms_RT[:, step : step + 1].double()
        parts = zip(logits_RV.split(rows), uniforms_R1.split(rows), strict=True)
        return torch.cat([self._drawn(*some) for some in parts], dim=1)

    def _drawn(self, logits_RV: Tensor, uniforms_R1: Tensor) -> Tensor:
        plain_RV = torch.log_softmax(logits_RV, dim=-1)
        if self._sampling.temperature == 0:
            chosen_R1 = plain_RV.argmax(dim=-1, keepdim=True)
            drawn_R1 = torch.zeros_like(plain_RV[:, :1])
        else:
            shaped_RV = _shape(logits_RV, plain_RV, self._sampling)
            chosen_R1 = _where_passed(shaped_RV.exp(), uniforms_R1)
            drawn_R1 = shaped_RV.gather(1, chosen_R1)
        columns = (chosen_R1, plain_RV.gather(1, chosen_R1), drawn_R1)
        return torch.stack([column[:, 0].double() for column in columns])

    def keep(self, rows_R: Tensor) -> None:
        """Only these rows go on."""
        self._uniforms_RT = self._uniforms_RT[rows_R]


def _where_passed(mass_RV: Tensor, uniforms_R1: Tensor) -> Tensor:
    """The token whose mass, added to that of all before, passes the uniform's share: [R, 1].

    First its block is found, by the blocks' sums, then its place there; one without mass is never
    the one.
    """
    blocks_RBK = F.pad(mass_RV, (0, -mass_RV.shape[1] % _BLOCK)).unflatten(1, (-1, _BLOCK))
    sums_RB = blocks_RBK.sum(dim=-1).double()
    ends_RB = sums_RB.cumsum(dim=1)
    wanted_R1 = _below(uniforms_R1 * ends_RB[:, -1:], ends_RB)
    block_R1 = torch.searchsorted(ends_RB, wanted_R1, right=True)
    own_RK = blocks_RBK.gather(1, block_R1[:, :, None].expand(-1, -1, _BLOCK))[:, 0]
    mass_RK = own_RK.double().cumsum(dim=1)
    left_R1 = wanted_R1 - (ends_RB - sums_RB).gather(1, block_R1)
    place_R1 = torch.searchsorted(mass_RK, _below(left_R1, mass_RK), right=True)
    return block_R1 * _BLOCK + place_R1


def _below(wanted_R1: Tensor, ends_RN: Tensor) -> Tensor:
    """At most what is passed by the last end, where rounding made it more."""
    last_R1 = ends_RN[:, -1:]
    return torch.minimum(wanted_R1, torch.nextafter(last_R1, torch.zeros_like(last_R1)))


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
