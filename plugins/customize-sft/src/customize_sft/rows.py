"""Rows in the order they are trained on. Knows tokens and weights, and no model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from customize import Batch, DataError, Dataset, Rendered, shuffled_row
from customize_sft.replay import Replayed


class Rows:
    """The data's rows and the replay rows after them, in an order for each epoch."""

    def __init__(
        self,
        data: Dataset,
        rendered: Sequence[Rendered],
        replay: Sequence[Replayed],
        max_length: int,
    ) -> None:
        self._data = data
        self._rendered = rendered
        self._replay = replay
        self._max_length = max_length

    def __len__(self) -> int:
        return len(self._data) + len(self._replay)

    def at(self, seed: int, place: int) -> int:
        """The row at a place of the endless sequence of shuffled epochs."""
        return shuffled_row(seed, place, len(self))

    def batch(self, indices: Sequence[int]) -> Batch:
        """Tokens and weights of these rows, each row's own weight multiplied in.

        ``reference_logprobs`` are the base's on replay rows; the sequence column ``replay`` is 1
        there.
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
            sequence_columns={"replay": [self._is_replay(i) for i in indices]},
        )

    def _is_replay(self, index: int) -> bool:
        return index >= len(self._data)

    def _replayed(self, index: int) -> Replayed:
        return self._replay[index - len(self._data)]

    def _row(self, index: int) -> Replayed:
        row = self._rendered[index]
        if len(row.tokens) > self._max_length:
            raise DataError(
                f"row {index + 1} has {len(row.tokens)} tokens, more than max_length "
                f"{self._max_length}: raise max_length, or shorten or leave out the row"
            )
        weight = self._data[index].get("weight", 1.0)
        if not isinstance(weight, (int, float)) or not 0 <= weight < float("inf"):
            raise DataError(f"row {index + 1}: weight must be a number >= 0 (got {weight!r})")
        weighted = Rendered(row.tokens, row.weights * np.float32(weight))
        return Replayed(weighted, np.zeros(len(row.tokens), np.float32))
