"""Writing GGUF files, one tensor in memory at a time, by the package ``gguf``. Knows no model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import attrs
import numpy as np
import numpy.typing as npt
from gguf import GGMLQuantizationType, GGUFValueType, GGUFWriter
from gguf.quants import quant_shape_to_byte_shape, quantize

from customize import ExportError
from customize_gguf import _ggml
from customize_gguf._reader import Value
from customize_gguf._safetensors import Floats

# The value types of GGUF; a boolean is an int too, so it comes first.
_TYPES = {
    bool: GGUFValueType.BOOL,
    int: GGUFValueType.UINT32,
    float: GGUFValueType.FLOAT32,
    str: GGUFValueType.STRING,
    list: GGUFValueType.ARRAY,
}


@attrs.frozen
class Tensor:
    """A tensor to be written as a GGML type; ``load`` makes its values when its turn comes."""

    name: str
    shape: tuple[int, ...]
    type: str
    load: Callable[[], Floats]

    def stored(self) -> npt.NDArray[np.generic]:
        """Its values in its type.

        Raises:
            ExportError: they are too large for it.
            MissingDependency: it is made by ggml alone, which is not installed.
        """
        values = np.ascontiguousarray(self.load(), np.float32)
        if self.type in _ggml.TYPES:
            return _ggml.quantize(values, self.type)
        with np.errstate(over="ignore"):
            stored: npt.NDArray[np.generic] = quantize(values, GGMLQuantizationType[self.type])
        if self.type == "F16" and not np.isfinite(stored).all():
            raise ExportError(
                f"{self.name} holds values that 16-bit floats cannot: export as f32 or bf16"
            )
        return stored


def write(path: Path, said: Mapping[str, Value], tensors: Iterable[Tensor]) -> None:
    """Write a GGUF file; ``said`` names its ``general.architecture``."""
    tensors = list(tensors)
    said = dict(said)
    writer = GGUFWriter(path, str(said.pop("general.architecture")))
    for key, value in said.items():
        writer.add_key_value(key, value, _TYPES[type(value)])
    for tensor in tensors:
        _announce(writer, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for tensor in tensors:
        writer.write_tensor_data(tensor.stored())
    writer.close()


def _announce(writer: GGUFWriter, tensor: Tensor) -> None:
    kind = GGMLQuantizationType[tensor.type]
    plain = {"F32": np.float32, "F16": np.float16}.get(tensor.type)
    shape = tensor.shape if plain else quant_shape_to_byte_shape(tensor.shape, kind)
    dtype = np.dtype(plain or np.uint8)
    num_bytes = int(np.prod(shape)) * dtype.itemsize
    writer.add_tensor_info(tensor.name, shape, dtype, num_bytes, raw_dtype=kind)
