"""Dequantisation against the loops of ggml-quants.c, one value at a time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from customize_gguf._quantization import TENSOR_TYPES

f4 = np.float32


def half(block: bytes, at: int) -> np.float32:
    return f4(np.frombuffer(block[at : at + 2], "<f2")[0])


def signed(byte: int) -> int:
    return byte - 256 if byte > 127 else byte


def q4_0(block: bytes) -> list[np.float32]:
    d, packed = half(block, 0), block[2:]
    return [f4((b & 15) - 8) * d for b in packed] + [f4((b >> 4) - 8) * d for b in packed]


def q4_1(block: bytes) -> list[np.float32]:
    d, m, packed = half(block, 0), half(block, 2), block[4:]
    return [f4(b & 15) * d + m for b in packed] + [f4(b >> 4) * d + m for b in packed]


def q5_0(block: bytes) -> list[np.float32]:
    d, high, packed = half(block, 0), int.from_bytes(block[2:6], "little"), block[6:]
    low = [((b & 15) | ((high >> j << 4) & 16)) - 16 for j, b in enumerate(packed)]
    top = [((b >> 4) | ((high >> (j + 12)) & 16)) - 16 for j, b in enumerate(packed)]
    return [f4(q) * d for q in low + top]


def q5_1(block: bytes) -> list[np.float32]:
    d, m = half(block, 0), half(block, 2)
    high, packed = int.from_bytes(block[4:8], "little"), block[8:]
    low = [(b & 15) | ((high >> j << 4) & 16) for j, b in enumerate(packed)]
    top = [(b >> 4) | ((high >> (j + 12)) & 16) for j, b in enumerate(packed)]
    return [f4(q) * d + m for q in low + top]


def q8_0(block: bytes) -> list[np.float32]:
    return [f4(signed(b)) * half(block, 0) for b in block[2:]]


def scale_and_minimum(j: int, q: bytes) -> tuple[int, int]:
    if j < 4:
        return q[j] & 63, q[j + 4] & 63
    return (q[j + 4] & 15) | ((q[j - 4] >> 6) << 4), (q[j + 4] >> 4) | ((q[j] >> 6) << 4)


def q45_k(block: bytes, high: bytes, packed: bytes) -> list[np.float32]:
    d, dmin, out = half(block, 0), half(block, 2), []
    for group in range(8):
        scale, minimum = scale_and_minimum(group, block[4:16])
        for i in range(32):
            byte = packed[group // 2 * 32 + i]
            quant = byte >> 4 if group % 2 else byte & 15
            quant += 16 * (high[i] >> group & 1)
            out.append(d * f4(scale) * f4(quant) - dmin * f4(minimum))
    return out


def q4_k(block: bytes) -> list[np.float32]:
    return q45_k(block, bytes(32), block[16:])


def q5_k(block: bytes) -> list[np.float32]:
    return q45_k(block, block[16:48], block[48:])


def q6_k(block: bytes) -> list[np.float32]:
    d, out = half(block, 208), [f4(0)] * 256
    for n in range(2):
        ql, qh = block[64 * n : 64 * n + 64], block[128 + 32 * n : 160 + 32 * n]
        scales = block[192 + 8 * n : 200 + 8 * n]
        for i in range(32):
            quants = (
                (ql[i] & 15) | (qh[i] & 3) << 4,
                (ql[i + 32] & 15) | (qh[i] >> 2 & 3) << 4,
                (ql[i] >> 4) | (qh[i] >> 4 & 3) << 4,
                (ql[i + 32] >> 4) | (qh[i] >> 6 & 3) << 4,
            )
            for part, quant in enumerate(quants):
                scale = signed(scales[i // 16 + 2 * part])
                out[128 * n + 32 * part + i] = d * f4(scale) * f4(quant - 32)
    return out


@pytest.mark.parametrize("loop", [q4_0, q4_1, q5_0, q5_1, q8_0, q4_k, q5_k, q6_k])
def test_dequantised_values_are_those_of_the_reference_loop(
    loop: Callable[[bytes], list[np.float32]],
) -> None:
    kind = next(k for k in TENSOR_TYPES.values() if k.name == loop.__name__.upper())
    raw = np.random.default_rng(0).integers(0, 256, (20, kind.block_bytes), dtype=np.uint8)
    for at in (0, 2, 208):  # the places of float16 factors; sane exponents, no NaN
        if at + 1 < kind.block_bytes:
            raw[:, at + 1] &= 0x3F
    expected = np.array([loop(block.tobytes()) for block in raw], dtype=np.float32)
    got = kind.dequantise(raw.reshape(-1))
    assert np.array_equal(got, expected.reshape(-1))


@pytest.mark.parametrize(("name", "numpy_type"), [("F32", "<f4"), ("F16", "<f2")])
def test_plain_types_are_what_numpy_reads(name: str, numpy_type: str) -> None:
    kind = next(k for k in TENSOR_TYPES.values() if k.name == name)
    values = np.linspace(-3, 3, 50).astype(numpy_type)
    assert np.array_equal(kind.dequantise(values.view(np.uint8)), values.astype(np.float32))


def test_bfloat16_is_the_upper_half_of_float32() -> None:
    kind = next(k for k in TENSOR_TYPES.values() if k.name == "BF16")
    raw = np.array([0x3F80, 0xC049, 0x0000], dtype="<u2").view(np.uint8)
    assert kind.dequantise(raw).tolist() == [1.0, -3.140625, 0.0]
