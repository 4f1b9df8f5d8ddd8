"""Pairs as tokens: rendered, checked, in batches. Knows no loss and no method.

Row 2i of what is rendered is pair i's chosen side, row 2i + 1 its rejected one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from customize import Batch, DataError, Dataset, Rendered, Renderer, Snapshot, render_rows

Floats = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.float64]
SIDES = ("chosen", "rejected")
_LISTED = 10
_AT_ONCE = 64  # pairs a forward; the backend cuts them as it needs to


@attrs.frozen
class Sides:
    """Both sides of every pair as chat rows, of which only the answer is trained."""

    pairs: Dataset

    @property
    def name(self) -> str:
        return getattr(self.pairs, "name", "the pairs")

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(f"sides of {self.pairs.fingerprint}".encode()).hexdigest()

    def __len__(self) -> int:
        return 2 * len(self.pairs)

    def __getitem__(self, index: int, /) -> dict[str, Any]:
        row = self.pairs[index // 2]
        asked = [{**message, "train": False} for message in row["messages"]]
        return {**row, "messages": [*asked, *row[SIDES[index % 2]]]}

    def line(self, index: int) -> str:
        """Where a side stands in its source: the pair's line, and which side it is."""
        pair, side = divmod(index, 2)
        line = getattr(self.pairs, "line", lambda row: row + 1)(pair)
        return f"{line}, {SIDES[side]}"


class Pairs:
    """The pairs of a data set, all of them rendered and found sound.

    Neither side has more than ``max_length`` tokens, nor more than the model's ``context``.

    Raises:
        DataError: some cannot be used; the first ten are listed by line.
    """

    def __init__(
        self, data: Dataset, renderer: Renderer, max_length: int, context: int | None = None
    ) -> None:
        self._data = data
        self._sides = Sides(data)
        self._rendered = render_rows(self._sides, renderer)
        faults = []
        ends = [0]
        for pair in range(len(data)):
            sides = self._rendered[2 * pair], self._rendered[2 * pair + 1]
            found = _faults(sides, max_length, context)
            faults += [f"{self.place(pair)}: {told}" for told in found]
            ends += [ends[-1] + _num_trained(sides[0])]
            ends += [ends[-1] + _num_trained(sides[1])]
        if faults:
            more = f"\n  ... and {len(faults) - _LISTED} more" if len(faults) > _LISTED else ""
            listed = "".join(f"\n  {fault}" for fault in faults[:_LISTED])
            raise DataError(
                f"{len(faults)} of {len(data)} pairs cannot be used:{listed}{more}\n"
                "Correct them, leave them out, or raise max_length where it is what they exceed"
            )
        self._ends = np.asarray(ends, np.int64)

    @property
    def fingerprint(self) -> str:
        """Of the data and of how it is rendered."""
        return self._sides.fingerprint

    def __len__(self) -> int:
        return len(self._data)

    def place(self, pair: int) -> str:
        """Where a pair stands in its source."""
        return f"{self._sides.name}, line {self._sides.line(2 * pair).partition(',')[0]}"

    def batch(self, pairs: Sequence[int], reference: Floats | None = None) -> Batch:
        """A group a pair, its chosen side first; what is scored are the answers' tokens.

        reference: what ``logprobs`` gave, for the column ``reference_logprobs``.
        The sequence column ``share`` is the pair's own weight over the sum of the batch's.
        """
        rows = [2 * pair + side for pair in pairs for side in (0, 1)]
        weights = np.asarray([self._weight(pair) for pair in pairs], np.float64)
        batch = Batch.from_sequences(
            [(self._rendered[r].tokens, {"weights": self._rendered[r].weights}) for r in rows],
            sequence_columns={
                "share": np.repeat(weights / (weights.sum() or 1.0), 2),
                "row": [1 + pair for pair in pairs for _ in SIDES],
            },
            groups=np.repeat(np.arange(len(pairs)), 2),
        )
        if reference is None:
            return batch
        column = np.zeros(batch.num_tokens, np.float32)
        parts = [reference[self._ends[r] : self._ends[r + 1]] for r in rows]
        column[batch.scored] = np.concatenate(parts)
        return batch.with_columns(reference_logprobs=column)

    def check_weights(self, steps: Iterable[Sequence[int]]) -> None:
        """Before the first step: a run that stopped at such a one would stop there again.

        Raises:
            DataError: all pairs of a step have weight 0.
        """
        weights = np.asarray([self._weight(pair) for pair in range(len(self))])
        if weights.all():
            return
        for number, pairs in enumerate(steps, start=1):
            if not weights[[*pairs]].any():
                raise DataError(
                    f"step {number}: every pair of the batch has weight 0: take pairs of weight 0 "
                    "out, which teach nothing, or raise batch_size"
                )

    def chosen_means(self, snapshot: Snapshot) -> Numbers:
        """The mean log-probability of each chosen answer's tokens [P], without the other sides."""
        return np.concatenate([*self._chosen_means(snapshot)])

    def means_of_chosen(self, logprobs: Floats) -> Numbers:
        """The same [P], of what ``logprobs`` gave."""
        sums_2P = np.add.reduceat(logprobs.astype(np.float64), self._ends[:-1])
        means_P: Numbers = sums_2P[::2] / np.diff(self._ends)[::2]
        return means_P

    def logprobs(self, snapshot: Snapshot) -> Floats:
        """Of every answer's tokens, pair by pair and side by side."""
        return np.concatenate([*self._logprobs(snapshot)])

    def _weight(self, pair: int) -> float:
        return float(self._data[pair].get("weight", 1.0))

    def _chosen_means(self, snapshot: Snapshot) -> Iterator[Numbers]:
        for first in range(0, len(self), _AT_ONCE):
            rows = [self._rendered[2 * pair] for pair in range(len(self))[first : first + _AT_ONCE]]
            batch = Batch.from_sequences([(row.tokens, {"weights": row.weights}) for row in rows])
            said = (snapshot.forward(batch).result(), batch.scored)
            sums_P, num_P = (batch.sum_by_sequence(v.astype(np.float64)) for v in said)
            yield sums_P / num_P

    def _logprobs(self, snapshot: Snapshot) -> Iterator[Floats]:
        for first in range(0, len(self), _AT_ONCE):
            batch = self.batch(range(first, min(first + _AT_ONCE, len(self))))
            yield snapshot.forward(batch).result()[batch.scored]


def _faults(
    sides: tuple[Rendered, Rendered], max_length: int, context: int | None
) -> Iterator[str]:
    for name, side in zip(SIDES, sides, strict=True):
        has = f"{name} has {len(side.tokens)} tokens"
        if context is not None and len(side.tokens) > context:
            yield f"{has}, and the model holds {context}"
        elif len(side.tokens) > max_length:
            yield f"{has}, more than max_length {max_length}"
    if np.array_equal(sides[0].tokens, sides[1].tokens):
        yield "chosen and rejected are the same tokens"


def _num_trained(side: Rendered) -> int:
    return int(np.count_nonzero(side.weights[1:]))
