"""BM25 as SQLite's FTS5 counts it, to the last bit. Knows no words and no tables.

FTS5 looks up how long each row is that has a word, in a tree, for each question: two microseconds a
row. Here the lengths of all lie in memory.

Shape legend: R rows of an index; M those of them that have the word in question.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import attrs
import numpy as np
import numpy.typing as npt

from customize._errors import DataError

Numbers = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Part = tuple[Integers, Numbers]  # places of rows [M], and what a word adds to their scores [M]
OF_OTHERS = "the index is damaged: its words are of other chunks. Build it anew"
_K1, _B = 1.2, 0.75
_LEAST_IDF = 1e-6  # of a word that more than half of the rows have


@attrs.frozen(eq=False)
class Rows:
    """The rows of an index: their numbers, ascending, and how many words each has.

    Raises:
        DataError: there are not as many of both.
    """

    numbers_R: Integers
    lengths_R: Numbers = attrs.field()
    _norms_R: Numbers = attrs.field(init=False)

    @lengths_R.validator
    def _check(self, _: object, lengths_R: Numbers) -> None:
        if len(lengths_R) != len(self):
            raise DataError(OF_OTHERS)

    @_norms_R.default
    def _norms(self) -> Numbers:
        mean = self.lengths_R.sum() / max(1, len(self)) or 1.0
        return _K1 * (1 - _B + _B * self.lengths_R / mean)

    def __len__(self) -> int:
        return len(self.numbers_R)

    def part(self, numbers_M: Integers, counts_M: Integers) -> Part:
        """What a word adds to the scores of the rows with these numbers, that have it so often.

        Raises:
            DataError: there is no row of such a number.
        """
        places_M = self._places(numbers_M)
        idf = math.log((len(self) - len(places_M) + 0.5) / (len(places_M) + 0.5))
        told = idf if idf > 0 else _LEAST_IDF
        return places_M, told * (counts_M * (_K1 + 1) / (counts_M + self._norms_R[places_M]))

    def scores(self, parts: Iterable[Part]) -> Numbers:
        """The sum of what all words add [R]: 0 where a row has none of them."""
        scores_R = np.zeros(len(self))
        for places_M, part_M in parts:
            scores_R[places_M] += part_M
        return scores_R

    def _places(self, numbers_M: Integers) -> Integers:
        first, last = self.numbers_R[[0, -1]] if len(self) else (0, 0)
        if last - first + 1 == len(self):
            places_M = numbers_M - first  # as below, without looking where none is left out
        else:
            places_M = np.searchsorted(self.numbers_R, numbers_M)
        if not np.array_equal(self.numbers_R.take(places_M, mode="clip"), numbers_M):
            raise DataError(OF_OTHERS)
        return places_M


def highest(scores_R: Numbers, k: int) -> Integers:
    """The places of the ``k`` highest scores above 0, the best first; of equal ones the first."""
    found = np.flatnonzero(scores_R > 0)
    if len(found) > k:
        least = np.partition(scores_R[found], -k)[-k]
        found = found[scores_R[found] >= least]
    return found[np.argsort(-scores_R[found], kind="stable")][:k]


def sums_of_three(numbers: bytes) -> Numbers:
    """The sum of every three of SQLite's varints: how FTS5 keeps the lengths of three columns.

    Raises:
        DataError: some are left over.
    """
    digits = np.frombuffer(numbers, np.uint8)
    last = np.flatnonzero(digits < 128)  # of a number: the digits before it are marked by 128
    if len(last) % 3:
        raise DataError(OF_OTHERS)
    at = np.arange(last.max(initial=-1) + 1)
    which = np.searchsorted(last, at)
    values = (digits[at] & 127) * 128.0 ** (last[which] - at)
    return np.bincount(which // 3, values).astype(np.float64)
