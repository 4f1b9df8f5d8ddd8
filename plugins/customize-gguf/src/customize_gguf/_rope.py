"""Rotary positions stretched as Llama 3 has them. Knows no file of GGUF.

Shape legend: H half of a head's dimensions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from customize import ModelError
from customize_gguf._metadata import Metadata

TENSOR = "rope_freqs.weight"
# GGUF has no keys for what the divisors were made of; an export of ours keeps it here.
_KEPT = "customize.rope."
_CLOSE = 1e-5  # relative: llama.cpp's converter computes wave lengths in single precision


@attrs.frozen
class Llama3:
    """Long waves are ``factor`` times as long, short ones stay, those between are mixed."""

    factor: float
    low: float
    high: float
    original_context: int

    @classmethod
    def read(cls, said: Mapping[str, Any], source: str = "config.json") -> Llama3:
        """What config.json says; raises ModelError where something is missing or not true."""
        rope = Metadata(said, source)
        factor = rope.positive("factor")
        low, high = rope.positive("low_freq_factor"), rope.positive("high_freq_factor")
        if low >= high:
            raise ModelError(
                f"{source}'s 'high_freq_factor' must be above 'low_freq_factor', {low} "
                f"(it is {high})"
            )
        return cls(factor, low, high, rope.count("original_max_position_embeddings"))

    @classmethod
    def of_divisors(
        cls, divisors_H: npt.NDArray[np.float32], theta: float, metadata: Metadata
    ) -> Llama3 | None:
        """What they were made of: as the file keeps it, else as Llama 3 has it; None of ones.

        Raises:
            ModelError: these are not the divisors of such a stretch.
        """
        kept = {
            key.removeprefix(_KEPT): value
            for key, value in metadata.values.items()
            if key.startswith(_KEPT)
        }
        if kept:
            made = cls.read(kept, metadata.source)
        elif (divisors_H == 1).all():
            return None
        else:
            made = cls._as_in_llama_3(divisors_H, theta)
        again_H = made.divisors(2 * len(divisors_H), theta)
        if not np.allclose(divisors_H, again_H, rtol=_CLOSE, atol=0):
            raise _unknown(divisors_H)
        return made

    @classmethod
    def _as_in_llama_3(cls, divisors_H: npt.NDArray[np.float32], theta: float) -> Llama3:
        """The original context, 8192 unless the waves between tell another, and the factor."""
        if not (np.isfinite(divisors_H).all() and divisors_H.min() >= 1):
            raise _unknown(divisors_H)
        # Single precision, said the short way.
        made = cls(float(str(divisors_H.max())), low=1.0, high=4.0, original_context=8192)
        mixed_H = (divisors_H > 1) & (divisors_H < divisors_H.max())
        if not mixed_H.any():
            return made
        mix = (1 / divisors_H[mixed_H].astype(float) - 1 / made.factor) / (1 - 1 / made.factor)
        waves = _waves(2 * len(divisors_H), theta)[mixed_H]
        contexts = waves * (made.low + mix * (made.high - made.low))
        return attrs.evolve(made, original_context=round(float(np.median(contexts))))

    def config(self) -> dict[str, object]:
        """What config.json says of it."""
        return {"rope_type": "llama3", **self._said()}

    def metadata(self) -> dict[str, float | int]:
        """What a file of ours keeps of it, which llama.cpp does not read."""
        return {f"{_KEPT}{key}": value for key, value in self._said().items()}

    def _said(self) -> dict[str, float | int]:
        return {
            "factor": self.factor,
            "low_freq_factor": self.low,
            "high_freq_factor": self.high,
            "original_max_position_embeddings": self.original_context,
        }

    def divisors(self, head: int, theta: float) -> npt.NDArray[np.float32]:
        """By what llama.cpp divides each frequency: float32 [H]."""
        waves_H = _waves(head, theta)
        mix_H = (self.original_context / waves_H - self.low) / (self.high - self.low)
        mix_H = np.clip(mix_H, 0, 1)
        return (1 / ((1 - mix_H) / self.factor + mix_H)).astype(np.float32)


def _waves(head: int, theta: float) -> npt.NDArray[np.float64]:
    """The length of each wave, in tokens: [H]."""
    waves_H: npt.NDArray[np.float64] = 2 * math.pi * theta ** (np.arange(0, head, 2) / head)
    return waves_H


def _unknown(divisors_H: npt.NDArray[np.float32]) -> ModelError:
    given = ", ".join(f"{value:g}" for value in divisors_H)
    return ModelError(
        f"the GGUF file's {TENSOR} ({given}) does not stretch rotary positions as Llama 3 "
        "does, and no other way is read; begin with the model's folder of safetensors instead"
    )
