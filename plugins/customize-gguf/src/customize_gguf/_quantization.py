"""The tensor types of GGML: blocks of bytes to float32. Knows nothing of files.

Block layouts: ggml-common.h and ggml-quants.c of https://github.com/ggml-org/ggml. Arithmetic is
float32 in the order of the reference, so the values are its values bit for bit.
Shapes: N blocks.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


@attrs.frozen
class TensorType:
    """How ``block_values`` numbers are stored in ``block_bytes`` bytes."""

    name: str
    block_values: int
    block_bytes: int
    decode: Callable[[Bytes], Floats]

    def dequantise(self, data: Bytes) -> Floats:
        """The numbers in whole blocks of ``data``, flat."""
        return self.decode(data.reshape(-1, self.block_bytes)).reshape(-1)


def _half(blocks: Bytes, at: int) -> Floats:
    """The float16 at byte ``at`` of each block: [N, 1]."""
    return np.ascontiguousarray(blocks[:, at : at + 2]).view("<f2").astype(np.float32)


def _nibbles(packed: Bytes) -> Bytes:
    """[N, k] bytes to [N, 2k]: all low halves, then all high ones."""
    return np.concatenate((packed & 15, packed >> 4), axis=1)


def _fifth_bits(blocks: Bytes, at: int) -> Bytes:
    """Bit i of the 32-bit word at byte ``at``, as 0 or 16: [N, 32]."""
    bits = np.unpackbits(blocks[:, at : at + 4], axis=1, bitorder="little")
    return bits << np.uint8(4)


def _f32(blocks: Bytes) -> Floats:
    return blocks.view("<f4").astype(np.float32)


def _f16(blocks: Bytes) -> Floats:
    return blocks.view("<f2").astype(np.float32)


def _bf16(blocks: Bytes) -> Floats:
    return (blocks.view("<u2").astype(np.uint32) << np.uint32(16)).view(np.float32)


def _q4_0(blocks: Bytes) -> Floats:
    return (_nibbles(blocks[:, 2:]).astype(np.int8) - np.int8(8)) * _half(blocks, 0)


def _q4_1(blocks: Bytes) -> Floats:
    return _nibbles(blocks[:, 4:]) * _half(blocks, 0) + _half(blocks, 2)


def _q5_0(blocks: Bytes) -> Floats:
    quants = _nibbles(blocks[:, 6:]) | _fifth_bits(blocks, 2)
    return (quants.astype(np.int8) - np.int8(16)) * _half(blocks, 0)


def _q5_1(blocks: Bytes) -> Floats:
    quants = _nibbles(blocks[:, 8:]) | _fifth_bits(blocks, 4)
    return quants * _half(blocks, 0) + _half(blocks, 2)


def _q8_0(blocks: Bytes) -> Floats:
    return blocks[:, 2:].view(np.int8) * _half(blocks, 0)


def _six_bit_scales(packed: Bytes) -> tuple[Bytes, Bytes]:
    """The eight 6-bit scales and minima that K-quants pack in twelve bytes: [N, 8] each."""
    low, middle, high = packed[:, 0:4], packed[:, 4:8], packed[:, 8:12]
    scales = np.concatenate((low & 63, (high & 15) | ((low >> 6) << 4)), axis=1)
    minima = np.concatenate((middle & 63, (high >> 4) | ((middle >> 6) << 4)), axis=1)
    return scales, minima


def _scaled_groups(blocks: Bytes, quants_NGV: Bytes) -> Floats:
    """d * scale * quant - dmin * minimum, for eight groups of 32."""
    scales, minima = _six_bit_scales(blocks[:, 4:16])
    factor = (_half(blocks, 0) * scales)[:, :, None]
    offset = (_half(blocks, 2) * minima)[:, :, None]
    return factor * quants_NGV - offset


def _paired_groups(packed: Bytes) -> Bytes:
    """128 bytes to [N, 8, 32]: of each 32 bytes first the low halves, then the high ones."""
    groups = packed.reshape(-1, 4, 1, 32)
    return np.concatenate((groups & 15, groups >> 4), axis=2).reshape(-1, 8, 32)


def _q4_k(blocks: Bytes) -> Floats:
    return _scaled_groups(blocks, _paired_groups(blocks[:, 16:]))


def _q5_k(blocks: Bytes) -> Floats:
    planes = np.arange(8, dtype=np.uint8)[None, :, None]
    fifth = ((blocks[:, None, 16:48] >> planes) & np.uint8(1)) << np.uint8(4)
    return _scaled_groups(blocks, _paired_groups(blocks[:, 48:]) | fifth)


def _q6_k(blocks: Bytes) -> Floats:
    low = blocks[:, :128].reshape(-1, 2, 1, 64)
    low = np.concatenate((low & 15, low >> 4), axis=2).reshape(-1, 2, 4, 32)
    shifts = np.arange(0, 8, 2, dtype=np.uint8)[None, None, :, None]
    high = (blocks[:, 128:192].reshape(-1, 2, 1, 32) >> shifts) & 3
    quants = (low | (high << np.uint8(4))).astype(np.int8) - np.int8(32)
    scales = blocks[:, 192:208].view(np.int8) * _half(blocks, 208)
    return quants.reshape(-1, 16, 16) * scales[:, :, None]


TENSOR_TYPES = {
    0: TensorType("F32", 1, 4, _f32),
    1: TensorType("F16", 1, 2, _f16),
    2: TensorType("Q4_0", 32, 18, _q4_0),
    3: TensorType("Q4_1", 32, 20, _q4_1),
    6: TensorType("Q5_0", 32, 22, _q5_0),
    7: TensorType("Q5_1", 32, 24, _q5_1),
    8: TensorType("Q8_0", 32, 34, _q8_0),
    12: TensorType("Q4_K", 256, 144, _q4_k),
    13: TensorType("Q5_K", 256, 176, _q5_k),
    14: TensorType("Q6_K", 256, 210, _q6_k),
    30: TensorType("BF16", 1, 2, _bf16),
}
