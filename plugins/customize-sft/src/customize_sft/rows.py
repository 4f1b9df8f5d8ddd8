"""Rows in the order they are trained on. Knows tokens and weights, and no model."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from customize import Batch, DataError, Dataset, Rendered, Row, shuffled_row
from customize_sft.replay import Replayed

Longs = npt.NDArray[np.int64]


class Rows:
    """The data's rows and the replay rows after them, in an order for each epoch."""

    def __init__(
        self,
        data: Dataset,
        rendered: Sequence[Rendered],
        replay: Sequence[Replayed],
        max_length: int,
        shorten: str,
        together: int = 1,
    ) -> None:
        """``together``: so many rows that follow one another and begin alike stay together.

        ``shorten``: what to do about a row that is too long, beside raising max_length.
        """
        self._data = data
        self._rendered = rendered
        self._replay = replay
        self._max_length, self._shorten = max_length, shorten
        self._blocks = _blocks(data, len(replay), together) if together > 1 else None
        self._ordered: tuple[tuple[int, int], Longs] | None = None

    def __len__(self) -> int:
        return len(self._data) + len(self._replay)

    def at(self, seed: int, place: int) -> int:
        """The row at a place of the endless sequence of shuffled epochs."""
        if self._blocks is None:
            return shuffled_row(seed, place, len(self))
        epoch, index = divmod(place, len(self))
        return int(self._in_order(seed, epoch)[index])

    def _in_order(self, seed: int, epoch: int) -> Longs:
        """The rows of an epoch: blocks in an order of its own, each as it lies. One is kept."""
        assert self._blocks is not None
        if self._ordered is None or self._ordered[0] != (seed, epoch):
            num = len(self._blocks)
            order = [self._blocks[shuffled_row(seed, epoch * num + n, num)] for n in range(num)]
            self._ordered = (seed, epoch), np.concatenate(order)
        return self._ordered[1]

    def batch(self, indices: Sequence[int]) -> Batch:
        """Tokens and weights of these rows, each row's own weight multiplied in.

        Rows with one beginning are a group, for which it is computed once.
        ``reference_logprobs`` are the base's on replay rows; the sequence column ``replay`` is 1
        there. ``row`` counts from 1, the replay rows after the data's.
        """
        rows = [self._replayed(i) if self._is_replay(i) else self._row(i) for i in indices]
        return Batch.from_sequences(
            [
                (
                    row.rendered.tokens,
                    {
                        "weights": row.rendered.weights,
                        "reference_logprobs": row.reference_logprobs,
                    },
                )
                for row in rows
            ],
            sequence_columns={
                "replay": [self._is_replay(i) for i in indices],
                "row": [1 + i for i in indices],
            },
            groups=self._groups(indices),
        )

    def _groups(self, indices: Sequence[int]) -> list[int]:
        """Replay rows begin as rows without a system message do."""
        known: dict[str, int] = {}
        begun = ["" if self._is_replay(i) else _beginning(self._data[i]) for i in indices]
        return [known.setdefault(text, len(known)) for text in begun]

    def _is_replay(self, index: int) -> bool:
        return index >= len(self._data)

    def _replayed(self, index: int) -> Replayed:
        return self._replay[index - len(self._data)]

    def _row(self, index: int) -> Replayed:
        row = self._rendered[index]
        if len(row.tokens) > self._max_length:
            raise DataError(
                f"row {index + 1} has {len(row.tokens)} tokens, more than max_length "
                f"{self._max_length}: raise max_length, or {self._shorten}"
            )
        weight = self._data[index].get("weight", 1.0)
        if not isinstance(weight, (int, float)) or not 0 <= weight < float("inf"):
            raise DataError(f"row {index + 1}: weight must be a number >= 0 (got {weight!r})")
        weighted = Rendered(row.tokens, row.weights * np.float32(weight))
        return Replayed(weighted, np.zeros(len(row.tokens), np.float32))


def _blocks(data: Dataset, num_replay: int, together: int) -> list[Longs]:
    """Rows that follow one another and begin alike, where they are few; others each alone."""
    bounds = [0]
    begun = None
    for number in range(len(data)):
        text = _beginning(data[number])
        if number and (text != begun or not text):
            bounds.append(number)
        begun = text
    bounds += range(len(data), len(data) + num_replay + 1)
    blocks: list[Longs] = []
    for start, end in itertools.pairwise(bounds):
        rows = np.arange(start, end)
        blocks += [rows] if len(rows) <= together else np.split(rows, len(rows))
    return blocks


def _beginning(row: Row) -> str:
    """Its ``together``, else its system message; without one all rows begin as the template."""
    if row.get("together") is not None:
        return f"together {row['together']!r}"
    first = row["messages"][0] if row.get("messages") else {}
    content = first.get("content") if first.get("role") in ("system", "developer") else ""
    return content if isinstance(content, str) else repr(content)
