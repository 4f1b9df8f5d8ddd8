"""ggml's own quantizers, out of the library that the package xllamacpp brings. Knows no file.

K-quants are searched for, scale by scale, and the package ``gguf`` has only their inverse.
"""

from __future__ import annotations

import ctypes
import importlib.util
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from gguf import GGMLQuantizationType
from gguf.quants import quant_shape_to_byte_shape

from customize import MissingDependency
from customize_gguf._safetensors import Floats

BLOCK = 256  # values that are quantized together; a row is a number of them
# What rows that do not divide into such blocks have instead, as llama.cpp quantises.
UNDIVIDED = {"Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0"}
TYPES = tuple(UNDIVIDED)


def check() -> None:
    """Raises MissingDependency where ggml is not at hand."""
    _quantizer()


def quantize(values: Floats, kind: str) -> npt.NDArray[np.uint8]:
    """Rows of float32 in blocks of a type, as llama.cpp makes them of the values alone.

    Raises:
        MissingDependency: ggml is not at hand.
    """
    type_ = GGMLQuantizationType[kind]
    rows = np.ascontiguousarray(values, np.float32).reshape(-1, values.shape[-1])
    out = np.zeros(quant_shape_to_byte_shape(rows.shape, type_), np.uint8)
    written = _quantizer()(int(type_), rows.ctypes.data, out.ctypes.data, 0, *rows.shape, None)
    assert written == out.nbytes
    return out.reshape(quant_shape_to_byte_shape(values.shape, type_))


@cache
def _quantizer() -> Any:  # a function of C
    """``size_t ggml_quantize_chunk(type, from, to, first, rows, values_a_row, importance)``."""
    try:
        found = ctypes.CDLL(str(_library())).ggml_quantize_chunk
    except (OSError, AttributeError) as error:
        raise MissingDependency(
            "K-quants are made by ggml, which the package xllamacpp brings: pip install "
            f"'customize-gguf[llama-cpp]' ({error}). Other precisions need none"
        ) from error
    found.restype = ctypes.c_size_t
    pointer, size = ctypes.c_void_p, ctypes.c_int64
    found.argtypes = [ctypes.c_int, pointer, pointer, size, size, size, pointer]
    return found


def _library() -> Path:
    """Raises OSError where the package is not installed."""
    spec = importlib.util.find_spec("xllamacpp")
    folders = () if spec is None else spec.submodule_search_locations or ()
    files = [file for folder in folders for file in sorted(Path(folder).glob("xllamacpp*.*"))]
    libraries = [file for file in files if file.suffix in (".so", ".pyd")]
    if not libraries:
        raise OSError("it is not installed")
    return libraries[0]
