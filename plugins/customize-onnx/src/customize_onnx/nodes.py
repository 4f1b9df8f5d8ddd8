"""A graph under construction: nodes, constants and inputs, named as they come. Knows no model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import GraphProto, ModelProto, TensorProto, helper, numpy_helper

# Not the newest, so that other runtimes load it too.
_OPSET, _IR = 21, 10
CONTRIB = "com.microsoft"


class Nodes:
    """Grows by one node a call; a value is the name of what a node gives."""

    def __init__(self) -> None:
        self._graph = GraphProto(name="decoder")
        self._known: set[str] = set()

    def add(self, op: str, *inputs: str, domain: str = "", **attributes: object) -> str:
        """A node of one output."""
        return self.add_many(op, inputs, (None,), domain, **attributes)[0]

    def add_many(
        self,
        op: str,
        inputs: Sequence[str],
        outputs: Sequence[str | None],
        domain: str = "",
        **attributes: object,
    ) -> list[str]:
        """A node of several outputs, with their names; None makes one up, "" leaves one out."""
        name = f"{op}_{len(self._graph.node)}"
        named = [f"{name}.{i}" if out is None else out for i, out in enumerate(outputs)]
        given = {key: value for key, value in attributes.items() if value is not None}
        node = helper.make_node(op, inputs, named, name, domain=domain, **given)
        self._graph.node.append(node)
        return named

    def constant(self, name: str, values: npt.ArrayLike, dtype: npt.DTypeLike) -> str:
        """A small array that lies in the graph itself; once for each name."""
        if name not in self._known:
            array = np.asarray(values, dtype)
            self._graph.initializer.append(numpy_helper.from_array(array, name))
            self._known.add(name)
        return name

    def weight(self, tensor: TensorProto) -> str:
        """An array that lies in the file of weights."""
        self._graph.initializer.append(tensor)
        return str(tensor.name)

    def input(self, name: str, dtype: int, shape: Sequence[str | int]) -> str:
        """Something that every run is given."""
        self._graph.input.append(helper.make_tensor_value_info(name, dtype, shape))
        return name

    def optional_input(
        self, name: str, dtype: int, shape: Sequence[str | int], default: npt.NDArray[Any]
    ) -> str:
        """Something that a run may be given: an initializer that is an input too."""
        self._graph.initializer.append(numpy_helper.from_array(default, name))
        return self.input(name, dtype, shape)

    def output(self, name: str, dtype: int, shape: Sequence[str | int]) -> None:
        self._graph.output.append(helper.make_tensor_value_info(name, dtype, shape))

    def model(self) -> ModelProto:
        opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid(CONTRIB, 1)]
        return helper.make_model(
            self._graph, opset_imports=opsets, ir_version=_IR, producer_name="customize"
        )
