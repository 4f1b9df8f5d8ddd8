"""The encoder: texts as vectors of their words. Knows no index.

Shape legend: N texts, D dimensions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from customize import Encoder, index_terms, option, options

Vectors = npt.NDArray[np.float32]


@options
class Example(Encoder):
    """How often each word of a text comes, at the place that its hash says."""

    dimensions: int = option(default=256, help="Numbers of a vector.", at_least=2)

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(f"example {self.dimensions}".encode()).hexdigest()

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        return np.stack([self._vector(text) for text in texts])

    def encode_chunks(self, texts: Sequence[str]) -> Vectors:
        return self.encode_queries(texts)

    def _vector(self, text: str) -> Vectors:
        counts_D = np.zeros(self.dimensions, np.float32)
        for term in index_terms(text):
            digest = hashlib.sha256(term.encode()).digest()
            counts_D[int.from_bytes(digest[:4], "big") % self.dimensions] += 1
        return counts_D / np.float32(max(float(np.linalg.norm(counts_D)), 1.0))
