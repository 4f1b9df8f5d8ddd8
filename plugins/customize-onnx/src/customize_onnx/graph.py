"""The decoder as a graph of onnxruntime's own operators. Knows no file format of weights.

Inputs: ``input_ids`` [R, S]; ``attention_mask`` [R, T], of each row ones for its tokens so far and
those of this run; ``past_key_values.N.key`` and ``.value`` [R, H, P, D]. Rows begin at the left and
are filled up on the right. ``num_logits_to_keep`` is optional: how many last places get logits, 0
for all. Every product but the head has optional inputs ``NAME.lora_A`` [K, r] and ``NAME.lora_B``
[r, N], of rank 0 unless they are given, the scale in B. ``without_adapters`` takes them away.
Outputs: ``logits`` [R, S, V], ``present.N.key`` and ``.value``.

A node costs a microsecond or two wherever it stands, so there are few: layers that read the same
input are one product, and rows lie flat, [R * S, C], where a product and a sum are one node.

Shape legend: R rows, S new tokens, P past ones, T all, H key heads, D head dimension, K inputs and
N outputs of a layer, r rank, C channels, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from onnx import ModelProto, TensorProto

from customize import ExportError
from customize_onnx.architecture import Architecture, Attention, Linear
from customize_onnx.nodes import CONTRIB, Nodes
from customize_onnx.rotary import Rope
from customize_onnx.tensors import Stored
from customize_onnx.weight_file import WeightFile
from customize_onnx.weights import Weights

_INT64, _FLOAT = TensorProto.INT64, TensorProto.FLOAT
_LAST = 2**63 - 1


def build(
    shape: Architecture,
    tensors: Mapping[str, Stored],
    weights: Weights,
    file: WeightFile,
    context: int,
) -> ModelProto:
    """The graph; what is large goes into ``file``, as ``weights`` keeps it.

    Raises:
        ExportError: a tensor is missing or has not the shape that the configuration implies.
    """
    return _Decoder(shape, tensors, weights, file, context).built()


def without_adapters(model: ModelProto) -> ModelProto:
    """The graph that computes the same where no adapter is given, with the same weights: it has
    neither the inputs for one nor the nodes that read them.
    """
    plain = ModelProto()
    plain.CopyFrom(model)
    graph = plain.graph
    adapters = {given.name for given in graph.input if ".lora_" in given.name}
    theirs = [node for node in graph.node if not adapters.isdisjoint(node.input)]
    bare = {node.output[0]: node.input[2] for node in theirs if node.op_type == "Gemm"}
    dropped = adapters | {node.name for node in theirs}
    for values in (graph.node, graph.input, graph.initializer):
        kept = [value for value in values if value.name not in dropped]
        del values[:]
        values.extend(kept)
    for node in graph.node:
        node.input[:] = [bare.get(name, name) for name in node.input]
    return plain


class _Decoder:
    def __init__(
        self,
        shape: Architecture,
        tensors: Mapping[str, Stored],
        weights: Weights,
        file: WeightFile,
        context: int,
    ) -> None:
        self._shape, self._tensors, self._weights = shape, tensors, weights
        self._file, self._context = file, context
        self._nodes = Nodes()
        self._known_turns: dict[Rope, tuple[str, str]] = {}

    def built(self) -> ModelProto:
        nodes, shape = self._nodes, self._shape
        tokens = nodes.input("input_ids", _INT64, ["rows", "new"])
        nodes.output("logits", _FLOAT, ["rows", "kept", shape.vocabulary])
        self._flat = nodes.constant("flat", [-1], np.int64)
        self._apart = nodes.add("Concat", nodes.add("Shape", tokens), self._flat, axis=0)
        self._lengths()
        residual = self._embedded(nodes.add("Reshape", tokens, self._flat))
        x = self._norm("model.layers.0.input_layernorm", residual)
        for number, attention in enumerate(shape.layers):
            x, residual = self._layer(number, attention, x, residual)
        self._head(x)
        return nodes.model()

    def _lengths(self) -> None:
        """What attention wants to know of the rows: the last place of each, and the longest."""
        nodes = self._nodes
        mask = nodes.input("attention_mask", _INT64, ["rows", "all"])
        one = nodes.constant("one", [1], np.int64)
        counts_R = nodes.add("ReduceSum", mask, one, keepdims=0)
        self._ends_R = nodes.add("Cast", nodes.add("Sub", counts_R, one), to=TensorProto.INT32)
        longest = nodes.add("Gather", nodes.add("Shape", mask), one)
        self._longest = nodes.add("Cast", longest, to=TensorProto.INT32)

    def _embedded(self, tokens: str) -> str:
        shape, name = self._shape, "model.embed_tokens.weight"
        table_VC = self._tensor(name, shape.vocabulary, shape.channels)
        x = self._weights.table(self._nodes, name, table_VC, tokens)
        if shape.embedding_scale == 1:
            return x
        scale = self._nodes.constant("embedding_scale", shape.embedding_scale, np.float32)
        return self._nodes.add("Mul", x, scale)

    def _layer(self, number: int, attention: Attention, x: str, residual: str) -> tuple[str, str]:
        """The layer's output before it is added to the residual is normed as the next wants it."""
        name, shape = f"model.layers.{number}", self._shape
        linears = shape.linears_of(number)
        after = f"model.layers.{number + 1}.input_layernorm"
        if number + 1 == len(shape.layers):
            after = "model.norm"
        heads = self._heads(f"{name}.self_attn", self._linear(linears["qkv"], x))
        out = self._linear(linears["o"], self._attention(number, attention, heads))
        if shape.has_output_norms:
            out = self._norm(f"{name}.post_attention_layernorm", out)
            before_mlp = f"{name}.pre_feedforward_layernorm"
        else:
            before_mlp = f"{name}.post_attention_layernorm"
        x, residual = self._norm_of_sum(before_mlp, residual, out)
        out = self._linear(linears["down"], self._activated(self._linear(linears["gate_up"], x)))
        if shape.has_output_norms:
            out = self._norm(f"{name}.post_feedforward_layernorm", out)
        return self._norm_of_sum(after, residual, out)

    def _heads(self, name: str, qkv: str) -> list[str]:
        """Queries, keys and values as attention takes them: beside one another, or three."""
        nodes, shape = self._nodes, self._shape
        if not shape.has_head_norms:
            return [nodes.add("Reshape", qkv, self._apart), "", ""]
        q, k, v = self._split(qkv, shape.head_sizes)
        q, k = self._head_norm(f"{name}.q_norm", q), self._head_norm(f"{name}.k_norm", k)
        return [nodes.add("Reshape", part, self._apart) for part in (q, k, v)]

    def _attention(self, number: int, attention: Attention, heads: list[str]) -> str:
        nodes, shape = self._nodes, self._shape
        past, present = (self._cache(name, number) for name in ("past_key_values", "present"))
        for cached in past:
            nodes.input(cached, _FLOAT, self._cache_shape("past"))
        for cached in present:
            nodes.output(cached, _FLOAT, self._cache_shape("all"))
        out, *_ = nodes.add_many(
            "GroupQueryAttention",
            [*heads, *past, self._ends_R, self._longest, *self._turns(attention.rope)],
            (None, *present),
            CONTRIB,
            num_heads=shape.heads,
            kv_num_heads=shape.key_heads,
            scale=shape.scale,
            do_rotary=1,
            local_window_size=attention.window or None,
        )
        beside = nodes.constant("heads_beside", [-1, shape.heads * shape.head_dim], np.int64)
        return nodes.add("Reshape", out, beside)

    def _activated(self, gate_and_up: str) -> str:
        nodes, shape = self._nodes, self._shape
        gate, up = self._split(gate_and_up, (shape.inner, shape.inner))
        if shape.activation == "silu":
            active = nodes.add("Mul", gate, nodes.add("Sigmoid", gate))
        else:
            active = nodes.add("Gelu", gate, approximate="tanh")
        return nodes.add("Mul", active, up)

    def _head(self, x: str) -> None:
        nodes, shape = self._nodes, self._shape
        kept = nodes.optional_input("num_logits_to_keep", _INT64, [], np.array(0, np.int64))
        start = nodes.add("Reshape", nodes.add("Neg", kept), self._flat)
        end, axis = nodes.constant("end", [_LAST], np.int64), nodes.constant("one", [1], np.int64)
        x = nodes.add("Slice", nodes.add("Reshape", x, self._apart), start, end, axis)
        if shape.is_tied:
            logits = self._weights.tied_head(nodes, x)
        else:
            name = "lm_head.weight"
            weight_VC = self._tensor(name, shape.vocabulary, shape.channels)
            logits = self._weights.linear(nodes, name, {name: weight_VC}, x)
        nodes.add_many("Identity", [logits], ["logits"])

    def _linear(self, linear: Linear, x: str) -> str:
        nodes, name = self._nodes, linear.name
        weights_NK = {
            f"{part}.weight": self._tensor(f"{part}.weight", outputs, linear.inputs)
            for part, outputs in linear.parts.items()
        }
        out = self._weights.linear(nodes, f"{name}.weight", weights_NK, x)
        if any(f"{part}.bias" in self._tensors for part in linear.parts):
            out = nodes.add("Add", out, self._biases(linear))
        rank, inputs, outputs = f"{name}.rank", linear.inputs, linear.outputs
        down = nodes.optional_input(
            f"{name}.lora_A", _FLOAT, [inputs, rank], np.zeros((inputs, 0), np.float32)
        )
        up = nodes.optional_input(
            f"{name}.lora_B", _FLOAT, [rank, outputs], np.zeros((0, outputs), np.float32)
        )
        return nodes.add("Gemm", nodes.add("MatMul", x, down), up, out)

    def _biases(self, linear: Linear) -> str:
        biases = [
            self._tensor(f"{part}.bias", size).floats()
            if f"{part}.bias" in self._tensors
            else np.zeros(size, np.float32)
            for part, size in linear.parts.items()
        ]
        return self._nodes.constant(f"{linear.name}.bias", np.concatenate(biases), np.float32)

    def _norm(self, name: str, x: str) -> str:
        weight = self._norm_weight(name, self._shape.channels)
        return self._nodes.add(
            "SimplifiedLayerNormalization", x, weight, axis=-1, epsilon=self._shape.eps
        )

    def _norm_of_sum(self, name: str, residual: str, x: str) -> tuple[str, str]:
        """The norm of the sum, and the sum."""
        out, _, _, total = self._nodes.add_many(
            "SkipSimplifiedLayerNormalization",
            [residual, x, self._norm_weight(name, self._shape.channels)],
            (None, "", "", None),
            CONTRIB,
            epsilon=self._shape.eps,
        )
        return out, total

    def _head_norm(self, name: str, x: str) -> str:
        """Every head below the other."""
        nodes, dim = self._nodes, self._shape.head_dim
        below = nodes.add("Reshape", x, nodes.constant("heads_below", [-1, dim], np.int64))
        return nodes.add(
            "SimplifiedLayerNormalization",
            below,
            self._norm_weight(name, dim),
            axis=-1,
            epsilon=self._shape.eps,
        )

    def _norm_weight(self, name: str, size: int) -> str:
        weight = self._tensor(f"{name}.weight", size).floats() + self._shape.norm_offset
        return self._nodes.constant(f"{name}.weight", weight, np.float32)

    def _turns(self, rope: Rope) -> tuple[str, str]:
        if rope not in self._known_turns:
            number = len(self._known_turns)
            cos, sin = rope.tables(self._shape.head_dim, self._context)
            self._known_turns[rope] = (
                self._nodes.weight(self._file.add(f"cos_{number}", cos, _FLOAT)),
                self._nodes.weight(self._file.add(f"sin_{number}", sin, _FLOAT)),
            )
        return self._known_turns[rope]

    def _split(self, x: str, sizes: tuple[int, ...]) -> list[str]:
        name = "split_" + "_".join(map(str, sizes))
        given = [x, self._nodes.constant(name, sizes, np.int64)]
        return self._nodes.add_many("Split", given, [None] * len(sizes), axis=-1)

    def _cache(self, name: str, number: int) -> list[str]:
        return [f"{name}.{number}.{part}" for part in ("key", "value")]

    def _cache_shape(self, length: str) -> list[str | int]:
        return ["rows", self._shape.key_heads, length, self._shape.head_dim]

    def _tensor(self, name: str, *shape: int) -> Stored:
        if name not in self._tensors:
            raise ExportError(
                f"the model lacks {name}, which its config.json implies: its files are not all "
                "there, or the config is not theirs"
            )
        found = self._tensors[name]
        if found.shape != shape:
            raise ExportError(
                f"the model holds {name} as {[*found.shape]} where config.json implies "
                f"{[*shape]}: the file and the config are not of one model"
            )
        return found
