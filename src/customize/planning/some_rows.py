"""Some rows of a data set, drawn at random and always the same. Knows no method.

They are drawn in runs, since a method may train on rows together that follow one another.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from customize.interfaces.dataset import Dataset, Row

_RUN = 50


def places(num: int, most: int) -> npt.NDArray[np.int64]:
    """Which of ``num`` rows are drawn, ``most`` at most, in their order."""
    run = min(_RUN, most)
    starts = run * np.random.default_rng(0).permutation(-(-num // run))
    enough = starts[: 1 + -(-most // run)]  # the last run of the rows may be a short one
    drawn = (enough[:, None] + np.arange(run)).ravel()
    return np.sort(drawn[drawn < num][: min(most, num)])


class SomeRows:
    """``most`` rows at most."""

    def __init__(self, rows: Dataset, most: int) -> None:
        self._rows = rows
        self._num = min(most, len(rows))
        self._chosen = places(len(rows), most)

    @property
    def kind(self) -> str:
        return self._rows.kind

    @property
    def fingerprint(self) -> str:
        whole = self._num == len(self._rows)
        return self._rows.fingerprint if whole else f"{self._rows.fingerprint}-some-{self._num}"

    def __len__(self) -> int:
        return self._num

    def __getitem__(self, index: int, /) -> Row:
        if not 0 <= index < self._num:
            raise IndexError(index)
        return self._rows[int(self._chosen[index])]
