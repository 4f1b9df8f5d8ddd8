"""What travels between processes: a JSON value and named arrays. Knows neither network nor use."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]  # of the types below
Bytes = npt.NDArray[np.uint8]
_TYPES = ("uint8", "int32", "int64", "float32", "float64")


@attrs.frozen(eq=False)
class Parcel:
    """``value`` is what JSON can say; arrays are of one dimension."""

    value: Mapping[str, Any] = attrs.field(factory=dict)
    arrays: Mapping[str, Array] = attrs.field(factory=dict)

    def label(self) -> str:
        """The value, and what the arrays' bytes mean."""
        kinds = [[name, a.dtype.name, len(a)] for name, a in self.arrays.items()]
        return json.dumps({"value": self.value, "arrays": kinds})

    def content(self) -> Bytes:
        """The arrays' bytes, one after the other."""
        parts = [np.ascontiguousarray(a).view(np.uint8) for a in self.arrays.values()]
        return np.concatenate([np.zeros(0, np.uint8), *parts])


def size_of(label: str) -> int:
    """Bytes of the content that belongs to a label."""
    return sum(_itemsize(kind) * length for _, kind, length in json.loads(label)["arrays"])


def unpack(label: str, content: Bytes) -> Parcel:
    """What ``label`` and ``content`` were made of."""
    told = json.loads(label)
    arrays, start = {}, 0
    for name, kind, length in told["arrays"]:
        end = start + _itemsize(kind) * length
        arrays[name] = content[start:end].copy().view(kind)
        start = end
    return Parcel(told["value"], arrays)


def _itemsize(kind: str) -> int:
    if kind not in _TYPES:
        raise ValueError(f"arrays of {kind} do not travel: only {', '.join(_TYPES)}")
    return np.dtype(kind).itemsize
