"""Who computes what: sequences or prompts dealt out to processes, the same way on each of them.

Knows only sizes and which belong together.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Longs = npt.NDArray[np.int64]


def shares(sizes: npt.ArrayLike, groups: npt.ArrayLike, world: int) -> list[Longs]:
    """Indices for each of ``world`` processes, in order; alike in size, and some may be empty.

    A group stays together, since its members share work, unless it alone is more than a share.
    """
    sizes, groups = np.asarray(sizes, np.int64), np.asarray(groups)
    fair = sizes.sum() / world
    units: list[Longs] = []
    for group in np.unique(groups):
        members = np.flatnonzero(groups == group)
        if sizes[members].sum() <= fair:
            units.append(members)
        else:
            units += [members[i : i + 1] for i in range(len(members))]
    # The largest first, each to who has least: ties by place, so that all processes agree.
    units.sort(key=lambda unit: (-int(sizes[unit].sum()), int(unit[0])))
    loads = [0] * world
    dealt: list[list[Longs]] = [[] for _ in range(world)]
    for unit in units:
        rank = loads.index(min(loads))
        dealt[rank].append(unit)
        loads[rank] += int(sizes[unit].sum())
    return [_joined(some) for some in dealt]


def _joined(units: Sequence[Longs]) -> Longs:
    return np.sort(np.concatenate([np.zeros(0, np.int64), *units]))
