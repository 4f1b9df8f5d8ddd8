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

from customize_gguf._metadata import Metadata

TENSOR = "rope_freqs.weight"


@attrs.frozen
class Llama3:
    """Long waves are ``factor`` times as long, short ones stay, those between are mixed."""

    factor: float
    low: float
    high: float
    original_context: int

    @classmethod
    def read(cls, said: Mapping[str, Any]) -> Llama3:
        """What config.json says; raises ModelError where something is missing."""
        rope = Metadata(said, "config.json")
        return cls(
            rope.positive("factor"),
            rope.positive("low_freq_factor"),
            rope.positive("high_freq_factor"),
            rope.count("original_max_position_embeddings"),
        )

    def divisors(self, head: int, theta: float) -> npt.NDArray[np.float32]:
        """By what llama.cpp divides each frequency: float32 [H]."""
        waves_H = 2 * math.pi * theta ** (np.arange(0, head, 2) / head)
        mix_H = (self.original_context / waves_H - self.low) / (self.high - self.low)
        mix_H = np.clip(mix_H, 0, 1)
        return (1 / ((1 - mix_H) / self.factor + mix_H)).astype(np.float32)
