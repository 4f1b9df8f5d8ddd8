"""The GGUF container: metadata and where each tensor lies. Knows nothing of models.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. The file is untrusted: every
count, length, offset and shape is checked against the bytes that are really there before it is
used, so a hostile file costs an error and never memory.
"""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

import attrs
import numpy as np
import numpy.typing as npt
from typing_extensions import TypeAliasType

from customize import ModelError
from customize_gguf._quantization import TENSOR_TYPES, TensorType

Scalar = str | int | float | bool
Value = TypeAliasType("Value", Scalar | list[Scalar])

_MAX_TENSORS = 100_000
_MAX_KEYS = 10_000
_MAX_NAME_BYTES = 512
_MAX_DIMENSIONS = 4
_MAX_ALIGNMENT = 1 << 16

_STRING, _ARRAY = 8, 9
_SCALARS = {
    0: struct.Struct("<B"),
    1: struct.Struct("<b"),
    2: struct.Struct("<H"),
    3: struct.Struct("<h"),
    4: struct.Struct("<I"),
    5: struct.Struct("<i"),
    6: struct.Struct("<f"),
    7: struct.Struct("<?"),
    10: struct.Struct("<Q"),
    11: struct.Struct("<q"),
    12: struct.Struct("<d"),
}
_U32, _U64 = _SCALARS[4], _SCALARS[10]


@attrs.frozen
class Tensor:
    """One tensor as stored: ``shape`` slowest axis first, ``data`` its raw bytes in the file."""

    name: str
    shape: tuple[int, ...]
    type: TensorType
    data: npt.NDArray[np.uint8]

    def dequantised(self) -> npt.NDArray[np.float32]:
        """The values, dequantised, in ``shape``."""
        return self.type.dequantise(self.data).reshape(self.shape)


@attrs.frozen
class GGUFFile:
    """A checked file: its metadata and its tensors by name."""

    metadata: Mapping[str, Value]
    tensors: Mapping[str, Tensor]


@contextmanager
def open_gguf(path: Path) -> Iterator[GGUFFile]:
    """Map the file and check all of its headers; tensor data is valid inside the block only.

    Raises:
        ModelError: it is missing, not GGUF, or says something that its bytes do not bear out.
    """
    try:
        stream = path.open("rb")
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})") from error
    with stream:
        if path.stat().st_size == 0:
            raise ModelError(f"{path}: not a GGUF file (it is empty)")
        mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        yield _Parser(path, mapped).parse()


class _Parser:
    """Reads front to back; ``_at`` never passes the end of the buffer."""

    def __init__(self, path: Path, mapped: mmap.mmap) -> None:
        self._path = path
        self._buffer = np.frombuffer(mapped, dtype=np.uint8)
        self._bytes = memoryview(mapped)
        self._at = 0

    def parse(self) -> GGUFFile:
        num_tensors, num_keys = self._header()
        metadata = self._metadata(num_keys)
        declared = self._declared(num_tensors)
        tensors = self._place(declared, self._alignment(metadata))
        return GGUFFile(MappingProxyType(metadata), MappingProxyType(tensors))

    def _fail(self, reason: str) -> ModelError:
        return ModelError(f"{self._path}: damaged or hostile GGUF file: {reason}")

    def _take(self, num_bytes: int) -> memoryview:
        if num_bytes > len(self._bytes) - self._at:
            raise self._fail(
                f"it ends at byte {len(self._bytes)}, but {num_bytes} more were announced at "
                f"byte {self._at}"
            )
        self._at += num_bytes
        return self._bytes[self._at - num_bytes : self._at]

    def _number(self, form: struct.Struct) -> int:
        value: int = form.unpack(self._take(form.size))[0]
        return value

    def _text(self, limit: int | None = None) -> str:
        length = self._number(_U64)
        if limit is not None and length > limit:
            raise self._fail(f"a name of {length} bytes (at most {limit})")
        try:
            return str(self._take(length), "utf-8")
        except UnicodeDecodeError as error:
            raise self._fail(f"text before byte {self._at} is not UTF-8") from error

    def _header(self) -> tuple[int, int]:
        if bytes(self._bytes[:4]) != b"GGUF":
            raise ModelError(f"{self._path}: not a GGUF file")
        self._at = 4
        version = self._number(_U32)
        if version not in (2, 3):
            raise ModelError(
                f"{self._path}: GGUF version {version:#x} is not supported "
                "(2 and 3 are, little-endian)"
            )
        num_tensors, num_keys = self._number(_U64), self._number(_U64)
        if num_tensors > _MAX_TENSORS or num_keys > _MAX_KEYS:
            raise self._fail(f"{num_tensors} tensors and {num_keys} metadata keys announced")
        return num_tensors, num_keys

    def _metadata(self, num_keys: int) -> dict[str, Value]:
        metadata: dict[str, Value] = {}
        for _ in range(num_keys):
            key = self._text(_MAX_NAME_BYTES)
            if key in metadata:
                raise self._fail(f"metadata key {key!r} occurs twice")
            metadata[key] = self._value(key)
        return metadata

    def _value(self, key: str) -> Value:
        kind = self._number(_U32)
        if kind != _ARRAY:
            return self._scalar(key, kind)
        kind, count = self._number(_U32), self._number(_U64)
        smallest = _SCALARS[kind].size if kind in _SCALARS else _U64.size
        if count * smallest > len(self._bytes) - self._at:
            raise self._fail(f"{key!r} announces {count} values, more than the file can hold")
        return [self._scalar(key, kind) for _ in range(count)]

    def _scalar(self, key: str, kind: int) -> Scalar:
        if kind == _STRING:
            return self._text()
        if kind not in _SCALARS:
            raise self._fail(f"{key!r} has the unknown or nested value type {kind}")
        form = _SCALARS[kind]
        value: int | float | bool = form.unpack(self._take(form.size))[0]
        # Single precision, said the short way: 1e-05, not 9.999999747378752e-06.
        return float(str(np.float32(value))) if form.format == "<f" else value

    def _declared(self, num_tensors: int) -> list[tuple[str, tuple[int, ...], TensorType, int]]:
        return [self._declaration() for _ in range(num_tensors)]

    def _declaration(self) -> tuple[str, tuple[int, ...], TensorType, int]:
        name = self._text(_MAX_NAME_BYTES)
        num_dimensions = self._number(_U32)
        if not 1 <= num_dimensions <= _MAX_DIMENSIONS:
            raise self._fail(f"tensor {name!r} has {num_dimensions} dimensions")
        # GGUF lists the fastest axis first.
        shape = tuple(self._number(_U64) for _ in range(num_dimensions))[::-1]
        code, offset = self._number(_U32), self._number(_U64)
        if code not in TENSOR_TYPES:
            names = ", ".join(sorted(known.name for known in TENSOR_TYPES.values()))
            raise ModelError(
                f"{self._path}: tensor {name!r} has the GGML type {code}, which is not "
                f"supported (supported: {names})"
            )
        return name, shape, TENSOR_TYPES[code], offset

    def _alignment(self, metadata: Mapping[str, Value]) -> int:
        alignment = metadata.get("general.alignment", 32)
        if (
            not isinstance(alignment, int)
            or not 8 <= alignment <= _MAX_ALIGNMENT
            or alignment & (alignment - 1)
        ):
            raise self._fail(f"general.alignment is {alignment!r}")
        return alignment

    def _place(
        self, declared: list[tuple[str, tuple[int, ...], TensorType, int]], alignment: int
    ) -> dict[str, Tensor]:
        start = -(-self._at // alignment) * alignment
        tensors: dict[str, Tensor] = {}
        end = 0
        for name, shape, kind, offset in sorted(declared, key=lambda entry: entry[3]):
            if name in tensors:
                raise self._fail(f"tensor {name!r} occurs twice")
            if offset % alignment or offset < end:
                raise self._fail(f"tensor {name!r} overlaps another or is not aligned")
            num_bytes = self._num_bytes(name, shape, kind)
            end = offset + num_bytes
            if start + end > len(self._buffer):
                raise self._fail(f"tensor {name!r} lies beyond the end of the file")
            tensors[name] = Tensor(name, shape, kind, self._buffer[start + offset : start + end])
        return tensors

    def _num_bytes(self, name: str, shape: tuple[int, ...], kind: TensorType) -> int:
        if 0 in shape or shape[-1] % kind.block_values:
            raise self._fail(f"tensor {name!r} of type {kind.name} cannot have shape {shape}")
        return math.prod(shape) // kind.block_values * kind.block_bytes
