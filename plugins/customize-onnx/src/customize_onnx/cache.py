"""Keys and values of rows that are under way. Knows onnxruntime's arrays, and no graph.

Shape legend: R rows, H key heads, P tokens of the longest row, D head dimension.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
import numpy.typing as npt
from onnxruntime import OrtValue

Longs = npt.NDArray[np.int64]


@attrs.frozen(eq=False)
class Cache:
    """lengths_R: tokens of each row. parts: [R, H, P, D], keys and values of each layer in turn.

    A row begins at the left; what is right of its end is never read.
    """

    lengths_R: Longs
    parts: tuple[OrtValue, ...]

    @classmethod
    def empty(cls, num_parts: int, heads: int, head_dim: int) -> Cache:
        """One row of no tokens."""
        nothing = np.zeros((1, heads, 0, head_dim), np.float32)
        part = OrtValue.ortvalue_from_numpy(nothing)
        return cls(np.zeros(1, np.int64), (part,) * num_parts)


@attrs.frozen(eq=False)
class Place:
    """One row of a cache."""

    cache: Cache
    row: int

    @property
    def length(self) -> int:
        """Tokens that are in it."""
        return int(self.cache.lengths_R[self.row])


def gathered(places: Sequence[Place]) -> Cache:
    """The rows beside one another; nothing is copied where they are a whole cache already."""
    first = places[0].cache
    rows = [place.row for place in places]
    if all(p.cache is first for p in places) and rows == [*range(len(first.lengths_R))]:
        return first
    lengths_R = np.array([place.cache.lengths_R[place.row] for place in places])
    sources = {id(place.cache): place.cache for place in places}
    parts = []
    for number in range(len(first.parts)):
        arrays = {key: cache.parts[number].numpy() for key, cache in sources.items()}
        _, heads, _, head_dim = arrays[id(first)].shape
        part_RHPD = np.zeros((len(places), heads, lengths_R.max(), head_dim), np.float32)
        for out_HPD, place, length in zip(part_RHPD, places, lengths_R, strict=True):
            out_HPD[:, :length] = arrays[id(place.cache)][place.row, :, :length]
        parts.append(OrtValue.ortvalue_from_numpy(part_RHPD))
    return Cache(lengths_R, tuple(parts))
