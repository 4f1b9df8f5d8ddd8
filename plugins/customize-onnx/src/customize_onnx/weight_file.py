"""The file of weights beside a graph: tensors one after another. Knows ONNX, and no model.

A graph is one protobuf message, which cannot grow past 2 GB; what lies beside it can, and is mapped
by onnxruntime.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import TensorProto

_ALIGNED = 4096  # so that it can be mapped


class WeightFile:
    """Written from its beginning to its end; a context manager."""

    def __init__(self, path: Path) -> None:
        self._name = path.name
        self._stream = path.open("wb")

    def __enter__(self) -> WeightFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stream.close()

    def add(
        self, name: str, values: npt.NDArray[Any], dtype: int, shape: Sequence[int] | None = None
    ) -> TensorProto:
        """Append values, and say where they lie. ``dtype``: ONNX's."""
        self._stream.write(b"\0" * (-self._stream.tell() % _ALIGNED))
        start = self._stream.tell()
        self._stream.write(np.ascontiguousarray(values).data)
        size = self._stream.tell() - start
        return _located(name, dtype, shape or values.shape, self._name, start, size)


def seen_as(tensor: TensorProto, name: str, shape: Sequence[int]) -> TensorProto:
    """The same bytes of the file under another name and shape."""
    said = {entry.key: entry.value for entry in tensor.external_data}
    size = int(said["length"])
    return _located(name, tensor.data_type, shape, said["location"], int(said["offset"]), size)


def _located(
    name: str, dtype: int, shape: Sequence[int], location: str, offset: int, length: int
) -> TensorProto:
    tensor = TensorProto(name=name, data_type=dtype, dims=shape, data_location=TensorProto.EXTERNAL)
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        tensor.external_data.add(key=key, value=str(value))
    return tensor
