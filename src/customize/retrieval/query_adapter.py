"""A linear map of query vectors: what an encoder lacks for these documents. Trains nothing.

Only queries are mapped: no document is encoded again. Shape legend: N texts, D dimensions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import attrs
import numpy as np

from customize._errors import DataError
from customize.interfaces.index import Encoder, Vectors

_MAP, _ENCODER = "map", "encoder"


@attrs.frozen(eq=False)
class QueryAdapter:
    """map_DD: what a query's vector is multiplied by. encoder: the fingerprint of whose it is."""

    map_DD: Vectors
    encoder: str

    @property
    def fingerprint(self) -> str:
        """The sha256 of the map and of whose vectors it is for."""
        content = np.ascontiguousarray(self.map_DD, np.float32).tobytes()
        return hashlib.sha256(self.encoder.encode() + content).hexdigest()

    def applied(self, queries_ND: Vectors) -> Vectors:
        """Queries as they are compared with chunks: mapped, and of length 1; what is 0 stays so."""
        mapped_ND = queries_ND @ self.map_DD
        lengths_N = np.linalg.norm(mapped_ND, axis=-1, keepdims=True)
        return np.asarray(mapped_ND / np.where(lengths_N > 0, lengths_N, 1), np.float32)

    def save(self, file: Path) -> None:
        from safetensors.numpy import save_file

        map_DD = np.ascontiguousarray(self.map_DD, np.float32)
        save_file({_MAP: map_DD}, file, {_ENCODER: self.encoder})

    @classmethod
    def load(cls, file: Path) -> QueryAdapter:
        """
        Raises:
            DataError: there is none, or it is damaged.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(file, "np") as stored:
                return cls(stored.get_tensor(_MAP), stored.metadata()[_ENCODER])
        except (OSError, SafetensorError, KeyError, TypeError) as error:
            raise DataError(
                f"{file} is damaged: {error}. Train it anew with adapt_index"
            ) from error


class AdaptedEncoder(Encoder):
    """An encoder whose queries are mapped. Its fingerprint is the encoder's, as chunks' vectors
    are.

    Raises:
        DataError: the adapter is for another encoder's vectors.
    """

    def __init__(self, encoder: Encoder, adapter: QueryAdapter) -> None:
        if adapter.encoder != encoder.fingerprint:
            raise DataError(
                "the query adapter is for another encoder's vectors: give the encoder it was "
                "trained with, or train it anew with adapt_index"
            )
        self.encoder = encoder
        self.adapter = adapter

    @property
    def fingerprint(self) -> str:
        return self.encoder.fingerprint

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        return self.adapter.applied(self.encoder.encode_queries(texts))

    def encode_chunks(self, texts: Sequence[str]) -> Vectors:
        return self.encoder.encode_chunks(texts)


def plain(encoder: Encoder) -> Encoder:
    """The encoder without the map of its queries."""
    return encoder.encoder if isinstance(encoder, AdaptedEncoder) else encoder
