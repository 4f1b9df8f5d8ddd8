"""How weights are kept in a file and computed with: in float32, in 16 bits, or in blocks.

Each way adds the nodes of a linear layer, an embedding and a head. Knows no architecture.

Shape legend: N outputs, K inputs; a table has N tokens of K channels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from onnx import TensorProto

from customize import ExportError
from customize_onnx.nodes import CONTRIB, Nodes
from customize_onnx.quantizing import BITS, BLOCK, Floats, quantize
from customize_onnx.tensors import Stored, joined
from customize_onnx.weight_file import WeightFile, seen_as

_DTYPES = {"F32": TensorProto.FLOAT, "F16": TensorProto.FLOAT16, "BF16": TensorProto.BFLOAT16}
# onnxruntime's fast way: activations in 8 bits. With float32 ones, level 1, a step takes seconds.
_ACCURACY = 4
_LARGEST = float(np.finfo(np.float16).max)


class Weights(Protocol):
    """One way to keep weights."""

    def linear(self, nodes: Nodes, name: str, parts_NK: Mapping[str, Stored], x: str) -> str:
        """``x`` times the transpose of a weight, which is made of parts below one another."""

    def table(self, nodes: Nodes, name: str, table_NK: Stored, tokens: str) -> str:
        """Rows of the embedding, float32. A head may use the same table afterwards."""

    def tied_head(self, nodes: Nodes, x: str) -> str:
        """``x`` times the transpose of the embedding's table."""


def kept_as(kind: str, file: WeightFile) -> Weights:
    """The way that the exporter's option ``weights`` names."""
    if kind in BITS:
        return Blocks(file, BITS[kind])
    return Whole(file, is_halved=kind == "float16")


class Whole:
    """In float32, or in 16 bits that onnxruntime makes float32 when it loads them.

    What is in 16 bits already keeps them bit for bit; else float16 holds three binary digits more
    than bfloat16 does.
    """

    def __init__(self, file: WeightFile, is_halved: bool) -> None:
        self._file, self._is_halved = file, is_halved
        self._table = ""

    def linear(self, nodes: Nodes, name: str, parts_NK: Mapping[str, Stored], x: str) -> str:
        return self._product(nodes, self._kept(nodes, name, parts_NK), x)

    def table(self, nodes: Nodes, name: str, table_NK: Stored, tokens: str) -> str:
        self._table = self._kept(nodes, name, {name: table_NK})
        return self._whole(nodes, nodes.add("Gather", self._table, tokens))

    def tied_head(self, nodes: Nodes, x: str) -> str:
        return self._product(nodes, self._table, x)

    def _product(self, nodes: Nodes, kept: str, x: str) -> str:
        return nodes.add("FusedMatMul", x, self._whole(nodes, kept), domain=CONTRIB, transB=1)

    def _kept(self, nodes: Nodes, name: str, parts: Mapping[str, Stored]) -> str:
        whole = joined([*parts.values()])
        stored = _halved(whole, parts) if self._is_halved else Stored("F32", whole.floats())
        return nodes.weight(self._file.add(name, stored.values, _DTYPES[stored.dtype]))

    def _whole(self, nodes: Nodes, value: str) -> str:
        if not self._is_halved:
            return value
        return nodes.add("Cast", value, to=TensorProto.FLOAT)


def _halved(whole: Stored, parts: Mapping[str, Stored]) -> Stored:
    if whole.dtype != "F32":
        return whole
    for name, part in parts.items():
        largest = float(np.abs(part.floats()).max())
        if not largest <= _LARGEST:
            raise ExportError(
                f"{name} has the value {largest:g}, which 16 bits do not hold: set weights=float32"
            )
    return Stored("F16", whole.values.astype(np.float16))


class Blocks:
    """In blocks of 32 integers with a scale; a table always in 8 bits."""

    def __init__(self, file: WeightFile, bits: int) -> None:
        self._file, self._bits = file, bits

    def linear(self, nodes: Nodes, name: str, parts_NK: Mapping[str, Stored], x: str) -> str:
        weight_NK = joined([*parts_NK.values()]).floats()
        return self._added(nodes, name, weight_NK, self._bits, x)

    def table(self, nodes: Nodes, name: str, table_NK: Stored, tokens: str) -> str:
        numbers, scales = quantize(table_NK.floats(), 8)
        self._shape = table_NK.shape
        self._numbers = self._file.add(name, numbers, TensorProto.UINT8, self._shape)
        self._scales = nodes.weight(self._file.add(f"{name}.scales", scales, TensorProto.FLOAT))
        taken = (nodes.weight(self._numbers), tokens, self._scales)
        how = {"bits": 8, "block_size": BLOCK, "gather_axis": 0, "quantize_axis": 1}
        return nodes.add("GatherBlockQuantized", *taken, domain=CONTRIB, **how)

    def tied_head(self, nodes: Nodes, x: str) -> str:
        shape = (self._shape[0], self._shape[1] // BLOCK, BLOCK)
        numbers = seen_as(self._numbers, f"{self._numbers.name}.head", shape)
        return _product(nodes, x, nodes.weight(numbers), self._scales, self._shape, 8)

    def _added(self, nodes: Nodes, name: str, weight_NK: Floats, bits: int, x: str) -> str:
        numbers, scales = quantize(weight_NK, bits)
        kept = nodes.weight(self._file.add(name, numbers, TensorProto.UINT8))
        scaled = nodes.weight(self._file.add(f"{name}.scales", scales, TensorProto.FLOAT))
        return _product(nodes, x, kept, scaled, weight_NK.shape, bits)


def _product(
    nodes: Nodes, x: str, numbers: str, scales: str, shape: tuple[int, ...], bits: int
) -> str:
    sizes = {"N": shape[0], "K": shape[1], "bits": bits, "block_size": BLOCK}
    return nodes.add(
        "MatMulNBits", x, numbers, scales, domain=CONTRIB, accuracy_level=_ACCURACY, **sizes
    )
