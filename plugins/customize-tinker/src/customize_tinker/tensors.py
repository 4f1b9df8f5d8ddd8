"""Tensors of the protocol: raw little-endian numbers, dense or sparse. Knows no request."""

from __future__ import annotations

import attrs
import numpy as np
import numpy.typing as npt

from customize_tinker.wire import WireError, Writer, as_bytes, as_int, as_ints, fields

FLOAT32, INT64, INT32, BFLOAT16 = 1, 2, 3, 4
_NUMPY = {FLOAT32: "<f4", INT64: "<i8", INT32: "<i4", BFLOAT16: "<u2"}

Numbers = npt.NDArray[np.generic]
Ints = npt.NDArray[np.int32]


@attrs.frozen(eq=False)
class Rows:
    """Which cells of a matrix are there (CSR). starts: of each row among them, and the end."""

    starts: npt.NDArray[np.int64]
    columns: npt.NDArray[np.int64]


@attrs.frozen(eq=False)
class Tensor:
    """values: flat. sparse: they are those of the cells it tells; None for all."""

    values: Numbers
    shape: tuple[int, ...]
    sparse: Rows | None = None


def size_of(dtype: int) -> int:
    """Bytes of an entry on the wire.

    Raises:
        WireError: there is no such dtype.
    """
    if dtype not in _NUMPY:
        raise WireError(f"a tensor of the unknown dtype {dtype}")
    return np.dtype(_NUMPY[dtype]).itemsize


def numbers(data: memoryview, dtype: int) -> Numbers:
    """Raises WireError where the bytes are no whole number of entries."""
    if len(data) % (size := size_of(dtype)):
        raise WireError(f"{len(data)} bytes are no whole number of {size}-byte entries")
    values = np.frombuffer(data, _NUMPY[dtype])
    if dtype == BFLOAT16:
        return (values.astype(np.uint32) << 16).view(np.float32)
    return values


def decode_tensor(data: memoryview) -> Tensor:
    held, sparse = memoryview(b""), None
    dtype, shape = 0, list[int]()
    for number, kind, value in fields(data):
        if number == 1:
            held = as_bytes(value)
        elif number == 2:
            held, sparse = _csr(as_bytes(value))
        elif number == 3:
            dtype = as_int(value)
        elif number == 4:
            shape += as_ints(kind, value)
    values = numbers(held, dtype)
    return Tensor(values, tuple(shape) or (len(values),), sparse)


def _csr(data: memoryview) -> tuple[memoryview, Rows]:
    """Bytes of the values, and where they are."""
    parts = dict.fromkeys((1, 2, 3), memoryview(b""))
    for number, _, value in fields(data):
        if number in parts:
            parts[number] = as_bytes(value)
    starts, columns = (numbers(parts[number], INT64).astype(np.int64) for number in (2, 3))
    return parts[1], Rows(starts, columns)


def encode_tensor(tensor: Tensor) -> Writer:
    """float32, or int64 where the numbers are whole."""
    whole = tensor.values.dtype.kind in "iu"
    data = tensor.values.astype("<i8" if whole else "<f4").tobytes()
    if tensor.sparse is None:
        message = Writer().blob(1, data)
    else:
        starts, columns = (n.astype("<i8").tobytes() for n in attrs.astuple(tensor.sparse))
        message = Writer().message(2, Writer().blob(1, data).blob(2, starts).blob(3, columns))
    message.varint(3, INT64 if whole else FLOAT32)
    for size in tensor.shape:
        message.varint(4, size)
    return message


def dense(values: Numbers) -> Tensor:
    """All cells of an array."""
    return Tensor(values.reshape(-1), values.shape)
