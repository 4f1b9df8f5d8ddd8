"""Adapters: from PEFT's format to onnxruntime's, or into the weights. Knows no graph.

Shape legend: N outputs, K inputs, R rank.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from customize import ExportError
from customize_onnx.architecture import Linear
from customize_onnx.tensors import Floats, Stored, read_adapter

_PREFIX, _DOWN, _UP = "base_model.model.", ".lora_A.weight", ".lora_B.weight"
# Settings of PEFT's that say more than W + scale · B A with one scale.
_MORE = ("use_dora", "modules_to_save", "rank_pattern", "alpha_pattern", "fan_in_fan_out")
_VERSION = 1


@attrs.frozen(eq=False)
class Adapter:
    """layers: A [R, K] and B [N, R] of each, by the layer's name."""

    layers: Mapping[str, tuple[Stored, Stored]]
    scale: float

    @classmethod
    def read(cls, folder: Path) -> Adapter:
        """Raises ExportError where PEFT would compute more than W + scale · B A."""
        config = json.loads((folder / "adapter_config.json").read_text("utf-8"))
        if more := [key for key in _MORE if config.get(key)]:
            raise ExportError(
                f"an adapter with {', '.join(more)} cannot be exported to ONNX: one of plain LoRA "
                "with one scale can"
            )
        tensors = read_adapter(folder)
        layers = {
            name.removeprefix(_PREFIX).removesuffix(_DOWN): (
                tensor,
                tensors[name.removesuffix(_DOWN) + _UP],
            )
            for name, tensor in tensors.items()
            if name.endswith(_DOWN)
        }
        if 2 * len(layers) != len(tensors):
            other = next(name for name in tensors if not name.endswith((_DOWN, _UP)))
            raise ExportError(f"the adapter holds {other}, which is no LoRA tensor of a layer")
        return cls(layers, _scale(config))

    def check(self, linears: Iterable[Linear]) -> None:
        """Raises ExportError where it changes a layer that the graph has no adapter inputs for."""
        adaptable = {part for linear in linears for part in linear.parts}
        if others := sorted(self.layers.keys() - adaptable):
            known = sorted({name.rsplit(".", 1)[-1] for name in adaptable})
            raise ExportError(
                f"the adapter changes {others[0]}, which an ONNX graph here does not adapt: there "
                f"are {', '.join(known)}"
            )

    def write(self, file: Path, linears: Iterable[Linear]) -> None:
        """In onnxruntime's format, for the products of a graph; the scale folded into B."""
        from onnxruntime import AdapterFormat, OrtValue

        parameters = {}
        for linear in linears:
            if not self.layers.keys().isdisjoint(linear.parts):
                down_KR, up_RN = self._joined(linear)
                parameters[f"{linear.name}.lora_A"] = OrtValue.ortvalue_from_numpy(down_KR)
                parameters[f"{linear.name}.lora_B"] = OrtValue.ortvalue_from_numpy(up_RN)
        form = AdapterFormat()
        form.set_adapter_version(_VERSION)
        form.set_model_version(_VERSION)
        form.set_parameters(parameters)
        form.export_adapter(str(file))

    def _joined(self, linear: Linear) -> tuple[Floats, Floats]:
        """The A of all parts beside one another; the B of each where its own R and N meet."""
        changed = {part: self.layers[part] for part in linear.parts if part in self.layers}
        down_KR = np.concatenate([down_RK.floats() for down_RK, _ in changed.values()]).T
        up_RN = np.zeros((down_KR.shape[1], linear.outputs), np.float32)
        row, column = 0, 0
        for part, outputs in linear.parts.items():
            if part in changed:
                block_RN = up_RN[row:, column:]
                up_NR = changed[part][1].floats()
                block_RN[: up_NR.shape[1], :outputs] = self.scale * up_NR.T
                row += up_NR.shape[1]
            column += outputs
        return np.ascontiguousarray(down_KR), up_RN


def _scale(config: Mapping[str, Any]) -> float:
    rank = float(config["r"])
    return float(config["lora_alpha"]) / (math.sqrt(rank) if config.get("use_rslora") else rank)


class Merged(Mapping[str, Stored]):
    """A model's tensors with an adapter's updates added in float32, each when it is asked for."""

    def __init__(self, tensors: Mapping[str, Stored], adapter: Adapter) -> None:
        self._tensors, self._adapter = tensors, adapter

    def __getitem__(self, name: str) -> Stored:
        plain = self._tensors[name]
        update = self._adapter.layers.get(name.removesuffix(".weight"))
        if update is None or not name.endswith(".weight"):
            return plain
        down_RK, up_NR = (part.floats() for part in update)
        merged_NK: Floats = plain.floats() + self._adapter.scale * (up_NR @ down_RK)
        return Stored("F32", merged_NK.astype(np.float32))

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)
