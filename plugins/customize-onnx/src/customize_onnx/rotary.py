"""Rotary position embeddings (arXiv 2104.09864): tables of cosines and sines. Knows no graph.

Shape legend: T positions, H half of a head's dimensions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from customize import ExportError

Floats = npt.NDArray[np.float32]
_KINDS = ("default", "linear", "llama3")


@attrs.frozen
class Rope:
    """kind: default, or how positions are stretched, by ``factor``. The rest is llama3's."""

    theta: float
    kind: str = "default"
    factor: float = 1.0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_context: int = 8192

    @classmethod
    def read(cls, said: Mapping[str, Any], theta: float | None, family: str) -> Rope:
        """What a configuration's ``rope_parameters`` or ``rope_scaling`` says.

        Raises:
            ExportError: it scales in a way that is not computed here.
        """
        kind = said.get("rope_type", said.get("type", "default"))
        if kind not in _KINDS:
            raise ExportError(
                f"{family} with rotary positions scaled as {kind!r} cannot be exported to ONNX: "
                f"there are {', '.join(_KINDS)}"
            )
        if said.get("partial_rotary_factor", 1.0) != 1.0:
            raise ExportError(
                f"{family} with partial_rotary_factor {said['partial_rotary_factor']:g} cannot be "
                "exported to ONNX: heads must turn whole"
            )
        theta = said.get("rope_theta", theta)
        if theta is None:
            raise ExportError(f"the {family} model's config.json has no rope_theta: add it")
        if kind == "default":
            return cls(float(theta))
        if kind == "linear":
            return cls(float(theta), kind, float(said["factor"]))
        return cls(
            float(theta),
            kind,
            float(said["factor"]),
            float(said["low_freq_factor"]),
            float(said["high_freq_factor"]),
            int(said["original_max_position_embeddings"]),
        )

    def tables(self, head_dim: int, context: int) -> tuple[Floats, Floats]:
        """Cosines and sines, float32 [T, H], made in float32 as transformers makes them."""
        steps_H = np.arange(0, head_dim, 2, dtype=np.float32) / np.float32(head_dim)
        turns_H = np.float32(1) / np.float32(self.theta) ** steps_H
        angles_TH = np.arange(context, dtype=np.float32)[:, None] * self._stretched(turns_H)
        return np.cos(angles_TH), np.sin(angles_TH)

    def _stretched(self, turns_H: Floats) -> Floats:
        if self.kind != "llama3":
            return turns_H / np.float32(self.factor)
        # Long waves are stretched, short ones stay, those between are mixed.
        waves_H = 2 * math.pi / turns_H
        mix_H = (self.original_context / waves_H - self.low_freq_factor) / (
            self.high_freq_factor - self.low_freq_factor
        )
        mix_H = np.clip(mix_H, 0, 1)
        return (((1 - mix_H) / self.factor + mix_H) * turns_H).astype(np.float32)
