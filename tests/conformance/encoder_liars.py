"""Encoders that break one rule each, and an honest one."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from customize import Encoder
from customize.interfaces.index import Vectors


class Honest(Encoder):
    """How often each of sixteen groups of characters comes."""

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(b"sixteen groups").hexdigest()

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        counts = np.array(
            [[1 + sum(ord(c) % 16 == g for c in t) for g in range(16)] for t in texts]
        )
        return np.asarray(counts / np.linalg.norm(counts, axis=1, keepdims=True), np.float32)

    def encode_chunks(self, texts: Sequence[str]) -> Vectors:
        return self.encode_queries(texts)


class Long(Honest):
    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        return 2 * super().encode_queries(texts)

    def encode_chunks(self, texts: Sequence[str]) -> Vectors:
        return super().encode_queries(texts)


class Unequal(Honest):
    def encode_chunks(self, texts: Sequence[str]) -> Vectors:
        made = super().encode_chunks(texts)
        return np.concatenate([made, np.zeros((len(texts), 1), np.float32)], axis=1)


class Beside(Honest):
    """A text's vector is turned by how many there are."""

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        return np.roll(super().encode_queries(texts), len(texts), axis=1)


class Constant(Honest):
    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        return super().encode_queries(["x"] * len(texts))


class Fragile(Honest):
    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        made = super().encode_queries(texts)
        made[[not text.strip() for text in texts]] = np.nan
        return made


class Counting(Honest):
    def __init__(self) -> None:
        self.count = 0

    @property
    def fingerprint(self) -> str:
        return str(self.count)

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        self.count += 1
        return super().encode_queries(texts)


LIARS: dict[str, type[Encoder]] = {
    "check_vectors_have_length_one": Long,
    "check_a_question_is_compared_with_a_passage": Unequal,
    "check_a_text_keeps_its_vector": Beside,
    "check_other_texts_have_other_vectors": Constant,
    "check_any_text_has_a_vector": Fragile,
    "check_the_fingerprint_stays": Counting,
}
