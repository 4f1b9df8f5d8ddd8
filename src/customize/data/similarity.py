"""Which texts are nearly the same: MinHash over pairs of neighbouring words, within bands.

A text's first and last word are paired with its edges, so one word changed, wherever it stands,
costs both texts two pairs: of n words, the Jaccard similarity is then (n - 1) / (n + 3), which is
0.8 at n = 17. Longer runs of words would call chats of 40 words with one word changed different.

MinHash after Broder 1997; locality-sensitive bands after Indyk and Motwani 1998. With 24 bands
of 5 values a pair of similarity 0.8 meets with probability 0.99993, one of 0.9 with 1 - 6e-10.
Pairs that meet are compared by their shingles, so none is reported by accident.
Knows nothing of rows.
"""

from __future__ import annotations

import hashlib
import zlib
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache

import attrs
import numpy as np
from numpy.typing import NDArray

from customize.data.texts import words

Shingles = NDArray[np.uint64]  # sorted, unique

THRESHOLD = 0.8
_BANDS, _PER_BAND = 24, 5
_START, _END = 2**32, 2**32 + 1  # no word's hash
_KEPT = 4096  # texts whose shingles are kept for comparing
# Both bound the time on degenerate data:
_MOST = 64  # comparisons of one text within one bucket
_ENOUGH = 8  # texts of one cluster that a bucket's later texts are compared with


def shingles(text: str) -> Shingles:
    """Hashes of all pairs of neighbouring words, the edges of the text counted as words.

    An empty text has none.
    """
    each = [zlib.crc32(word.encode("utf-8", "surrogatepass")) for word in words(text)]
    if not each:
        return np.empty(0, np.uint64)
    hashes = np.array([_START, *each, _END], np.uint64)
    return np.unique(_mixed(_mixed(hashes[:-1]) + hashes[1:]))


def jaccard(left: Shingles, right: Shingles) -> float:
    """Shared shingles as a share of all; 1 for two empty texts."""
    if not len(left) and not len(right):
        return 1.0
    shared = len(np.intersect1d(left, right, assume_unique=True))
    return shared / (len(left) + len(right) - shared)


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of splitmix64: every bit of the input moves every bit of the output."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


_SALTS = _mixed(
    np.arange(1, _BANDS * _PER_BAND + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
)


def signature(of: Shingles) -> NDArray[np.uint64]:
    """The least value of each of 120 hash functions over the shingles; shape [120]."""
    least = np.full(len(_SALTS), np.iinfo(np.uint64).max, np.uint64)
    for start in range(0, len(of), 4096):  # bounds the memory of a long text
        piece = of[start : start + 4096]
        hashed = _mixed(piece[:, None] ^ _SALTS)
        least = np.minimum(least, hashed.min(axis=0))
    return least


@attrs.frozen
class Pair:
    """Two near-duplicates by number; ``similarity`` is the Jaccard similarity of shingles."""

    first: int
    second: int
    similarity: float


class Clusters:
    """Numbers joined into clusters (union-find)."""

    def __init__(self, size: int) -> None:
        self._parent = list(range(size))

    def find(self, one: int) -> int:
        """The least number of the cluster that ``one`` is in."""
        while self._parent[one] != one:
            self._parent[one] = self._parent[self._parent[one]]
            one = self._parent[one]
        return one

    def join(self, one: int, other: int) -> None:
        """Make the clusters of the two one."""
        low, high = sorted((self.find(one), self.find(other)))
        self._parent[high] = low

    def all(self) -> list[list[int]]:
        """Every cluster, singles too, each sorted, by its first number."""
        members: defaultdict[int, list[int]] = defaultdict(list)
        for one in range(len(self._parent)):
            members[self.find(one)].append(one)
        return list(members.values())


def near_duplicates(
    texts: Iterable[tuple[int, str]], again: Callable[[int], str], clusters: Clusters
) -> list[Pair]:
    """Join texts of similarity 0.8 or more in ``clusters``; the pairs that did it.

    ``texts`` are (number, text), passed over once; ``again`` gives a text by its number when
    two must be compared. Texts already in one cluster are not compared. Memory: 200 bytes and
    a hash a text.
    """
    pairs: list[Pair] = []
    numbers, keys = array("q"), bytearray()
    first_of: dict[bytes, int] = {}
    for number, text in texts:
        own = shingles(text)
        first = first_of.setdefault(hashlib.blake2b(own.tobytes(), digest_size=16).digest(), number)
        if first == number and len(own):
            numbers.append(number)
            keys += _band_keys(own).tobytes()
        elif len(own) and clusters.find(first) != clusters.find(number):
            pairs.append(Pair(first, number, 1.0))
            clusters.join(first, number)

    @lru_cache(maxsize=_KEPT)
    def kept(number: int) -> Shingles:
        return shingles(again(number))

    for bucket in _buckets(numbers, np.frombuffer(keys, np.uint64).reshape(-1, _BANDS)):
        pairs.extend(_alike(bucket, kept, clusters))
    return pairs


class NearIndex:
    """Texts to which others are compared, one at a time: what it holds grows with its own alone."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._shingles = {text: shingles(text) for text in texts}
        self._buckets: defaultdict[tuple[int, int], list[str]] = defaultdict(list)
        for text, own in self._shingles.items():
            for bucket in _buckets_of(own):
                self._buckets[bucket].append(text)

    def like(self, text: str) -> list[str]:
        """Its texts of similarity 0.8 or more to this one, that text too."""
        own = shingles(text)
        met = dict.fromkeys(
            other for bucket in _buckets_of(own) for other in self._buckets.get(bucket, ())
        )
        return [other for other in met if jaccard(own, self._shingles[other]) >= THRESHOLD]


def _buckets_of(own: Shingles) -> Iterator[tuple[int, int]]:
    """One a band; an empty text has none."""
    return enumerate(map(int, _band_keys(own))) if len(own) else iter(())


def _band_keys(of: Shingles) -> NDArray[np.uint64]:
    """One hash a band of the signature; shape [24]."""
    values = signature(of).reshape(_BANDS, _PER_BAND)
    keys = np.zeros(_BANDS, np.uint64)
    for position in range(_PER_BAND):
        keys = _mixed(keys + values[:, position])
    return keys


def _buckets(numbers: Sequence[int], keys: NDArray[np.uint64]) -> Iterator[list[int]]:
    """Numbers whose keys are equal in a band, two or more at a time."""
    for band in range(_BANDS):
        order = np.argsort(keys[:, band], kind="stable")
        ordered = keys[order, band]
        starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(order) else order
        for members in np.split(order, starts[1:]):
            if len(members) > 1:
                yield [numbers[place] for place in members]


def _alike(
    bucket: list[int], kept: Callable[[int], Shingles], clusters: Clusters
) -> Iterator[Pair]:
    before: list[int] = []
    for number in bucket:
        num_compared = num_joined = 0
        for other in before:
            if clusters.find(other) == clusters.find(number):
                num_joined += 1
                continue
            if num_compared == _MOST:
                break
            num_compared += 1
            if (similarity := jaccard(kept(other), kept(number))) >= THRESHOLD:
                clusters.join(other, number)
                yield Pair(other, number, similarity)
        if num_joined < _ENOUGH:
            before.append(number)
