"""Tensors of the protocol: raw little-endian numbers, dense or sparse. Knows no request."""

from __future__ import annotations

import attrs
import numpy as np
import numpy.typing as npt

from customize_tinker.wire import BYTES, WireError, Writer, as_bytes, as_int, as_ints, fields

FLOAT32, INT64, INT32, BFLOAT16 = 1, 2, 3, 4
_NUMPY = {FLOAT32: "<f4", INT64: "<i8", INT32: "<i4", BFLOAT16: "<u2"}

Numbers = npt.NDArray[np.generic]
Ints = npt.NDArray[np.int32]


@attrs.frozen(eq=False)
class Tensor:
    """values: flat. sparse: they are those of a CSR matrix whose places are not kept."""

    values: Numbers
    shape: tuple[int, ...]
    sparse: bool = False


def numbers(data: memoryview, dtype: int) -> Numbers:
    """Raises WireError where the bytes are no whole number of entries."""
    if dtype not in _NUMPY:
        raise WireError(f"a tensor of the unknown dtype {dtype}")
    kind = np.dtype(_NUMPY[dtype])
    if len(data) % kind.itemsize:
        raise WireError(f"{len(data)} bytes are no whole number of {kind.itemsize}-byte entries")
    values = np.frombuffer(data, kind)
    if dtype == BFLOAT16:
        return (values.astype(np.uint32) << 16).view(np.float32)
    return values


def decode_tensor(data: memoryview) -> Tensor:
    dense, sparse = memoryview(b""), None
    dtype, shape = 0, list[int]()
    for number, kind, value in fields(data):
        if number == 1:
            dense = as_bytes(value)
        elif number == 2:
            sparse = _csr_values(as_bytes(value))
        elif number == 3:
            dtype = as_int(value)
        elif number == 4:
            shape += as_ints(kind, value)
    values = numbers(dense if sparse is None else sparse, dtype)
    return Tensor(values, tuple(shape) or (len(values),), sparse is not None)


def _csr_values(data: memoryview) -> memoryview:
    for number, kind, value in fields(data):
        if number == 1 and kind == BYTES:
            return as_bytes(value)
    return memoryview(b"")


def encode_tensor(values: npt.ArrayLike) -> Writer:
    """float32, or int64 where the numbers are whole."""
    array = np.asarray(values)
    whole = array.dtype.kind in "iu"
    message = Writer().blob(1, array.astype("<i8" if whole else "<f4").tobytes())
    message.varint(3, INT64 if whole else FLOAT32)
    for size in array.shape:
        message.varint(4, size)
    return message
