"""A cache of rows that go on from few prompts: keys and values of a prompt are there once.

With copies for each row, what a processor reads of a cache at each step is mostly the same prompts
again and again, and it waits for memory.

Shape legend: R rows, P prompts, M the most rows of a prompt, K key heads, G query heads of each,
L tokens of the longest prompt, T tokens after it, D head dimension.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own convention
from torch import Tensor

from customize_torch.attention import Cache, Plan, Prefill

_WORTH_SHARING = 4  # rows of a prompt, on average; with 2 or 3 nothing was gained


def is_worth_sharing(owners: Sequence[int], device: torch.device, dtype: torch.dtype) -> bool:
    """Whether rows are so many to each prompt that follows another. owners: the prompt of a row.

    In bfloat16 never: a product for the prompt and one for what follows are rounded apart, and
    training, which has one, would find other probabilities than were drawn from.
    """
    if device.type != "cpu" or dtype == torch.bfloat16:
        return False
    return len(owners) >= _WORTH_SHARING * sum(1 for _ in itertools.groupby(owners))


class SharedPrompts(Cache):
    """Rows that begin at the same time. ``layers`` hold what comes after the prompts."""

    def __init__(
        self,
        prefill: Prefill,
        bounds: Sequence[tuple[int, int]],
        owners: Sequence[int],
        room: int,
    ) -> None:
        """Row r goes on from prompt ``owners[r]``, which lies at its bounds, by up to T tokens."""
        groups = [(owner, len(list(same))) for owner, same in itertools.groupby(owners)]
        some = [bounds[owner] for owner, _ in groups]
        self.lengths_P = torch.tensor([end - start for start, end in some])
        self.groups = Groups(torch.tensor([count for _, count in groups]))
        self.prompts: dict[int, tuple[Tensor, Tensor]] = {}
        layers = {}
        for layer, both in prefill.kept.items():
            keys, values = (_beside(kept, some) for kept in both)
            self.prompts[layer] = keys, values
            empty = keys.new_zeros(len(owners), keys.shape[1], room, keys.shape[3])
            layers[layer] = empty, torch.zeros_like(empty)
        super().__init__(layers)

    def decode(
        self, lengths_R: Tensor, longest: int, attend_new: Callable[..., Tensor] | None
    ) -> Plan:
        return _After(self, lengths_R)

    def keep(self, rows: Tensor) -> None:
        super().keep(rows)
        self.groups = self.groups.of(rows)


class Groups:
    """How many rows, one after another, go on from each prompt: ``counts`` [P]."""

    def __init__(self, counts_P: Tensor) -> None:
        self._counts = counts_P
        self.prompt_R = torch.arange(len(counts_P)).repeat_interleave(counts_P)
        self._most = int(counts_P.max())
        self._is_even = bool((counts_P == self._most).all())
        firsts_P = counts_P.cumsum(0) - counts_P
        nth_R = torch.arange(len(self.prompt_R)) - firsts_P[self.prompt_R]
        self._place_R = self.prompt_R * self._most + nth_R
        last = len(self.prompt_R) - 1
        self._row_PM = (firsts_P[:, None] + torch.arange(self._most)).clamp(max=last)

    def of(self, rows: Tensor) -> Groups:
        """Those of these rows alone."""
        return Groups(self.prompt_R[rows].bincount(minlength=len(self._counts)))

    def spread(self, x: Tensor) -> Tensor:
        """[R, …] as [P, M, …]; where a prompt has fewer rows, what stands there is any row's."""
        return x.unflatten(0, (-1, self._most)) if self._is_even else x[self._row_PM]

    def gathered(self, x: Tensor) -> Tensor:
        """[P, M, …] as [R, …]."""
        x = x.flatten(0, 1)
        return x if self._is_even else x[self._place_R]


class _After:
    """One new token for each row, which sees the prompt and what came after: as many for all."""

    def __init__(self, cache: SharedPrompts, lengths_R: Tensor) -> None:
        self._cache = cache
        self._lengths_R = lengths_R
        self._after = int(lengths_R[0] - cache.lengths_P[cache.groups.prompt_R[0]])
        self._hidden: dict[int, Tensor | None] = {}

    def attend(
        self, layer: int, q_HND: Tensor, k_KND: Tensor, v_KND: Tensor, scale: float, window: int
    ) -> Tensor:
        groups = self._cache.groups
        given_PKLD, values_PKLD = self._cache.prompts[layer]
        keys_RKTD, values_RKTD = self._added(layer, k_KND, v_KND, window)
        q_RKGD = q_HND[0].transpose(0, 1).unflatten(1, (k_KND.shape[1], -1))
        own_RKGT = q_RKGD @ keys_RKTD.mT
        scores_PMKGL = _all_rows(groups.spread(q_RKGD), given_PKLD.mT)
        hidden = self._unseen(window)
        if hidden is not None:
            scores_PMKGL = scores_PMKGL.masked_fill_(hidden, -torch.inf)
        scores = torch.cat([groups.gathered(scores_PMKGL), own_RKGT], dim=-1)
        probs = scores.mul_(scale).softmax(-1)
        of_prompt, own = probs.split([given_PKLD.shape[2], own_RKGT.shape[3]], dim=-1)
        out_RKGD = own @ values_RKTD
        out_RKGD += groups.gathered(_all_rows(groups.spread(of_prompt), values_PKLD))
        return out_RKGD.flatten(1, 2).transpose(0, 1)[None]

    def _added(
        self, layer: int, k_KND: Tensor, v_KND: Tensor, window: int
    ) -> tuple[Tensor, Tensor]:
        """What rows see of the keys and values after the prompt, with those of the new tokens."""
        keys, values = self._cache.layers[layer]
        keys[:, :, self._after] = k_KND[0].transpose(0, 1)
        values[:, :, self._after] = v_KND[0].transpose(0, 1)
        end = self._after + 1
        begin = max(0, end - window) if window else 0
        return keys[:, :, begin:end], values[:, :, begin:end]

    def _unseen(self, window: int) -> Tensor | None:
        """Where a row does not see a place of its prompt, [P, M or 1, 1, 1, L]; None: nowhere."""
        if window not in self._hidden:
            self._hidden[window] = self._found_unseen(window)
        return self._hidden[window]

    def _found_unseen(self, window: int) -> Tensor | None:
        lengths_P = self._cache.lengths_P
        places_L = torch.arange(int(lengths_P.max()))
        hidden_PML = places_L >= lengths_P[:, None, None]
        if window:
            seen_R1 = self._lengths_R[:, None] - window
            hidden_PML = hidden_PML | (places_L <= self._cache.groups.spread(seen_R1))
        return hidden_PML[:, :, None, None] if hidden_PML.any() else None


def _all_rows(x_PMKGA: Tensor, y_PKAB: Tensor) -> Tensor:
    """All rows of a prompt by one product for each key head, [P, M, K, G, B]."""
    most, groups = x_PMKGA.shape[1], x_PMKGA.shape[3]
    x_PKNA = x_PMKGA.transpose(1, 2).flatten(2, 3)
    return (x_PKNA @ y_PKAB).unflatten(2, (most, groups)).transpose(1, 2)


def _beside(kept_KND: Tensor, bounds: Sequence[tuple[int, int]]) -> Tensor:
    """Of each prompt, filled up with zeros: [P, K, L, D]."""
    longest = max(end - start for start, end in bounds)
    parts = [kept_KND[:, start:end] for start, end in bounds]
    return torch.stack([F.pad(part, (0, 0, 0, longest - part.shape[1])) for part in parts])
