"""How a batch is cut into pieces that fit. Knows no model."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from customize import Batch
from customize_torch.layout import shared_prefix

Longs = npt.NDArray[np.int64]


def pieces(batch: Batch, token_budget: int, by_group: bool) -> Iterator[Longs]:
    """Sequences to compute together, about ``token_budget`` tokens each; a unit is never cut.

    A unit is a group, whose shared prefix counts once; one larger than the budget is cut into its
    sequences unless the loss couples them (``by_group``). Units are taken by length, so that
    pieces are alike; those without a scored token are left out.
    """
    scored = np.add.reduceat(batch.scored, batch.offsets[:-1]) > 0
    wanted = scored | by_group
    units = [
        unit
        for group in np.unique(batch.groups[scored])
        for unit in _units(
            batch, np.flatnonzero((batch.groups == group) & wanted), token_budget, by_group
        )
    ]
    units.sort(key=lambda unit: _size(batch, unit))
    piece: list[Longs] = []
    tokens = 0
    for unit in units:
        size = _size(batch, unit)
        if piece and tokens + size > token_budget:
            yield np.concatenate(piece)
            piece, tokens = [], 0
        piece.append(unit)
        tokens += size
    if piece:
        yield np.concatenate(piece)


def _units(batch: Batch, members: Longs, token_budget: int, by_group: bool) -> list[Longs]:
    if by_group or _size(batch, members) <= token_budget:
        return [members]
    return [members[i : i + 1] for i in range(len(members))]


def _size(batch: Batch, unit: Longs) -> int:
    repeated = (len(unit) - 1) * shared_prefix(batch, unit)
    return int(batch.lengths[unit].sum()) - repeated
