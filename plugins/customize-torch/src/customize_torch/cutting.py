"""How a batch is cut into pieces that fit. Knows no model."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from customize import Batch


def pieces(batch: Batch, token_budget: int, by_group: bool) -> Iterator[npt.NDArray[np.int64]]:
    """Sequences to compute together, about ``token_budget`` tokens each; a unit is never cut.

    Units (sequences, or groups) are taken by length, so that pieces are alike; those without a
    scored token are left out.
    """
    scored = np.add.reduceat(batch.scored, batch.offsets[:-1]) > 0
    owner = batch.groups if by_group else np.arange(batch.num_sequences)
    units = [np.flatnonzero(owner == unit) for unit in np.unique(owner[scored])]
    units.sort(key=lambda unit: int(batch.lengths[unit].sum()))
    piece: list[npt.NDArray[np.int64]] = []
    tokens = 0
    for unit in units:
        size = int(batch.lengths[unit].sum())
        if piece and tokens + size > token_budget:
            yield np.concatenate(piece)
            piece, tokens = [], 0
        piece.append(unit)
        tokens += size
    if piece:
        yield np.concatenate(piece)
