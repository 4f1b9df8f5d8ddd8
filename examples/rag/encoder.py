"""Vectors of texts without a further download: means of the base model's own token embeddings."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import deserialize
from tokenizers import Tokenizer

import customize

Vectors = npt.NDArray[np.float32]
_EMBEDDINGS = "model.embed_tokens.weight"


class TokenMeans(customize.Encoder):
    """The mean embedding of a text's tokens, each weighted by how rare it is.

    A token's number in the vocabulary is about its rank by frequency, so its weight is the
    logarithm of that; what all tokens have in common is taken away.
    """

    def __init__(self, model: str = "smollm2") -> None:
        self._folder = Path(customize.resolve(model).path)
        self._tokenizer = Tokenizer.from_file(str(self._folder / "tokenizer.json"))

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        return np.stack([self._vector(text) for text in texts])

    def encode_chunks(self, texts: Sequence[str]) -> Vectors:
        return self.encode_queries(texts)

    def _vector(self, text: str) -> Vectors:
        ids = np.array(self._tokenizer.encode(text, add_special_tokens=False).ids)
        sum_D = np.log1p(ids) @ self._embeddings_VD[ids]
        return np.asarray(sum_D / max(float(np.linalg.norm(sum_D)), 1e-12), np.float32)

    @cached_property
    def _embeddings_VD(self) -> Vectors:
        read: Any = deserialize  # it has no types
        tensors = dict(read((self._folder / "model.safetensors").read_bytes()))
        stored = tensors[_EMBEDDINGS]
        # bfloat16, which numpy has not: the upper half of a float32.
        bits = np.frombuffer(stored["data"], np.uint16).astype(np.uint32) << 16
        embeddings_VD = bits.view(np.float32).reshape(stored["shape"])
        return np.asarray(embeddings_VD - embeddings_VD.mean(axis=0), np.float32)

    @cached_property
    def _fingerprint(self) -> str:
        return hashlib.sha256(b"token means" + self._embeddings_VD.tobytes()).hexdigest()
