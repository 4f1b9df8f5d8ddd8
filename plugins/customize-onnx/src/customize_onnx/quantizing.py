"""Weights in blocks of 32 with a scale each, symmetric. Knows numpy alone.

Shape legend: N outputs, K inputs, B blocks of a row, L the 32 of a block.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
BITS = {"int8": 8, "int4": 4}  # of what is kept in blocks
BLOCK = 32


def quantize(weight_NK: Floats, bits: int) -> tuple[Bytes, Floats]:
    """Bytes [N, B, 32 · bits / 8] and scales [N, B]; K is filled up with zeros to whole blocks.

    8 bits: 127 is the largest of a block. 4 bits: -8 is, whatever its sign, so that no value of
    the sixteen is lost.
    """
    rows, inputs = weight_NK.shape
    filled_NK = np.pad(weight_NK, ((0, 0), (0, -inputs % BLOCK)))
    blocks_NBL = filled_NK.reshape(rows, -1, BLOCK)
    at_NB1 = np.abs(blocks_NBL).argmax(-1)[..., None]
    largest_NB1 = np.take_along_axis(blocks_NBL, at_NB1, -1)
    scale_NB1 = np.abs(largest_NB1) / 127 if bits == 8 else largest_NB1 / -8
    scale_NB1[scale_NB1 == 0] = 1
    zero = 1 << (bits - 1)
    numbers_NBL = np.clip(np.rint(blocks_NBL / scale_NB1) + zero, 0, 2 * zero - 1).astype(np.uint8)
    if bits == 4:
        numbers_NBL = numbers_NBL[..., ::2] | (numbers_NBL[..., 1::2] << 4)
    return numbers_NBL, scale_NB1[..., 0].astype(np.float32)
