"""How a batch lies in one flat row: a group's shared prefix once, the lengths rounded up.

Knows no model. Rounding up makes shapes come back, so that the kernels and the memory made for a
shape are used again, where there are such: a processor in float32 makes none. What is added to the
row is a segment of its own that nothing sees.

Shape legend: N tokens of the row, T scored positions.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from customize import Batch
from customize_torch.segments import Segment

Longs = npt.NDArray[np.int64]
_MULTIPLE = 32
_ALIGNED = 8  # where no kernel is made for a shape
_WORTH_SHARING = 16  # tokens; a shorter prefix costs more in attention than it saves


@attrs.frozen(eq=False)
class Layout:
    """before_T: where the hidden state lies that a scored token is predicted from.

    num_scored: the first of T; the rest are there for the shape, and mean nothing.
    """

    tokens_N: Tensor
    positions_N: Tensor
    segments: Sequence[Segment]
    before_T: Tensor
    targets_T: Tensor
    num_scored: int


def lay(batch: Batch, device: torch.device, dtype: torch.dtype) -> Layout:
    """Lay out a batch to compute in ``dtype`` on a device; sequences of a group that begin alike
    share that beginning.
    """
    multiple = _ALIGNED if device.type == "cpu" and dtype == torch.float32 else _MULTIPLE
    row = _Row(batch)
    for group in np.unique(batch.groups):
        members = np.flatnonzero(batch.groups == group)
        row.add(members, shared_prefix(batch, members))
    return row.finish(device, multiple)


def shared_prefix(batch: Batch, members: Longs) -> int:
    """Leading tokens that these sequences share and that are worth sharing; each keeps one."""
    if len(members) < 2:
        return 0
    room = int(batch.lengths[members].min()) - 1
    starts = batch.offsets[members]
    beginnings = batch.tokens[starts[:, None] + np.arange(room)]
    differs = (beginnings != beginnings[0]).any(axis=0)
    length = int(differs.argmax()) if differs.any() else room
    return length if length >= _WORTH_SHARING else 0


class _Row:
    """The flat row as it grows; ``place`` is where each token of the batch came to lie."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._place = np.zeros(batch.num_tokens, np.int64)
        self._before = np.zeros(batch.num_tokens, np.int64)
        self._sources: list[Longs] = []
        self._positions: list[Longs] = []
        self._segments: list[Segment] = []
        self._length = 0

    def add(self, members: Longs, prefix: int) -> None:
        shared = (0, 0)
        if prefix:
            first = int(self._batch.offsets[members[0]])
            shared = self._append(first, first + prefix, 0, (0, 0))
        for member in members:
            begin, end = (int(x) for x in self._batch.offsets[member : member + 2])
            self._place[begin : begin + prefix] = np.arange(*shared)
            own = self._append(begin + prefix, end, prefix, shared)
            self._place[begin + prefix : end] = np.arange(*own)
            self._before[begin + 1 : end] = self._place[begin : end - 1]

    def _append(
        self, begin: int, end: int, position: int, prefix: tuple[int, int]
    ) -> tuple[int, int]:
        where = (self._length, self._length + end - begin)
        self._segments.append(Segment(*where, *prefix))
        self._sources.append(np.arange(begin, end))
        self._positions.append(np.arange(position, position + end - begin))
        self._length = where[1]
        return where

    def finish(self, device: torch.device, multiple: int) -> Layout:
        tokens = self._batch.tokens[np.concatenate(self._sources)].astype(np.int64)
        positions = np.concatenate(self._positions)
        missing = -self._length % multiple
        if missing:
            self._segments.append(Segment(self._length, self._length + missing))
            tokens = np.pad(tokens, (0, missing))
            positions = np.concatenate([positions, np.arange(missing)])
        scored = self._batch.scored
        num_scored = int(scored.sum())
        more = (0, -num_scored % multiple)
        before = np.pad(self._before[scored], more)
        targets = np.pad(self._batch.tokens[scored].astype(np.int64), more)
        return Layout(
            torch.from_numpy(tokens).to(device),
            torch.from_numpy(positions).to(device),
            self._segments,
            torch.from_numpy(before).to(device),
            torch.from_numpy(targets).to(device),
            num_scored,
        )
