"""The decoder as a graph of onnxruntime's own operators. Knows no file format of weights.

Inputs: ``input_ids`` [R, S]; ``attention_mask`` [R, T], of each row ones for its tokens so far and
those of this run; ``past_key_values.N.key`` and ``.value`` [R, H, P, D]. Rows begin at the left and
are filled up on the right. ``num_logits_to_keep`` is optional: how many last places get logits, 0
for all. Every linear layer but the head has optional inputs ``NAME.lora_A`` [K, r] and
``NAME.lora_B`` [r, N], zero unless they are given, the scale in B.
Outputs: ``logits`` [R, S, V], ``present.N.key`` and ``.value``.

Shape legend: R rows, S new tokens, P past ones, T all, H key heads, D head dimension, K inputs and
N outputs of a layer, r rank, C channels, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from onnx import ModelProto, TensorProto

from customize import ExportError
from customize_onnx.architecture import Architecture, Attention
from customize_onnx.nodes import CONTRIB, Nodes
from customize_onnx.rotary import Rope
from customize_onnx.tensors import Stored
from customize_onnx.weights import Weights

_INT64, _FLOAT = TensorProto.INT64, TensorProto.FLOAT
_LAST = 2**63 - 1


def build(
    shape: Architecture, tensors: Mapping[str, Stored], weights: Weights, context: int
) -> ModelProto:
    """The graph; weights go into the file that ``weights`` writes.

    Raises:
        ExportError: a tensor is missing or has not the shape that the configuration implies.
    """
    return _Decoder(shape, tensors, weights, context).built()


class _Decoder:
    def __init__(
        self, shape: Architecture, tensors: Mapping[str, Stored], weights: Weights, context: int
    ) -> None:
        self._shape, self._tensors, self._weights = shape, tensors, weights
        self._context = context
        self._nodes = Nodes()
        self._known_turns: dict[Rope, tuple[str, str]] = {}

    def built(self) -> ModelProto:
        nodes, shape = self._nodes, self._shape
        tokens = nodes.input("input_ids", _INT64, ["rows", "new"])
        nodes.output("logits", _FLOAT, ["rows", "kept", shape.vocabulary])
        self._lengths()
        residual = self._embedded(tokens)
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
        after = f"model.layers.{number + 1}.input_layernorm"
        if number + 1 == len(shape.layers):
            after = "model.norm"
        out = self._attention(f"{name}.self_attn", number, attention, x)
        if shape.has_output_norms:
            out = self._norm(f"{name}.post_attention_layernorm", out)
            before_mlp = f"{name}.pre_feedforward_layernorm"
        else:
            before_mlp = f"{name}.post_attention_layernorm"
        x, residual = self._norm_of_sum(before_mlp, residual, out)
        out = self._mlp(f"{name}.mlp", x)
        if shape.has_output_norms:
            out = self._norm(f"{name}.post_feedforward_layernorm", out)
        return self._norm_of_sum(after, residual, out)

    def _attention(self, name: str, number: int, attention: Attention, x: str) -> str:
        nodes, shape = self._nodes, self._shape
        q, k, v = self._queries_keys_values(name, x)
        if shape.has_head_norms:
            q = self._head_norm(f"{name}.q_norm", q, shape.heads)
            k = self._head_norm(f"{name}.k_norm", k, shape.key_heads)
        past, present = (self._cache(name, number) for name in ("past_key_values", "present"))
        for cached in past:
            nodes.input(cached, _FLOAT, self._cache_shape("past"))
        for cached in present:
            nodes.output(cached, _FLOAT, self._cache_shape("all"))
        out, *_ = nodes.add_many(
            "GroupQueryAttention",
            [q, k, v, *past, self._ends_R, self._longest, *self._turns(attention.rope)],
            (None, *present),
            CONTRIB,
            num_heads=shape.heads,
            kv_num_heads=shape.key_heads,
            scale=shape.scale,
            do_rotary=1,
            local_window_size=attention.window or None,
        )
        return self._linear(f"{name}.o_proj", out, shape.heads * shape.head_dim, shape.channels)

    def _queries_keys_values(self, name: str, x: str) -> list[str]:
        shape = self._shape
        sizes = [heads * shape.head_dim for heads in (shape.heads, *[shape.key_heads] * 2)]
        if shape.is_fused:
            whole = self._linear(f"{name}.qkv_proj", x, shape.channels, sum(sizes))
            return self._split(whole, sizes)
        parts = zip(("q_proj", "k_proj", "v_proj"), sizes, strict=True)
        return [self._linear(f"{name}.{part}", x, shape.channels, size) for part, size in parts]

    def _mlp(self, name: str, x: str) -> str:
        nodes, shape = self._nodes, self._shape
        if shape.is_fused:
            whole = self._linear(f"{name}.gate_up_proj", x, shape.channels, 2 * shape.inner)
            gate, up = self._split(whole, [shape.inner] * 2)
        else:
            gate, up = (
                self._linear(f"{name}.{part}_proj", x, shape.channels, shape.inner)
                for part in ("gate", "up")
            )
        if shape.activation == "silu":
            active = nodes.add("Mul", gate, nodes.add("Sigmoid", gate))
        else:
            active = nodes.add("Gelu", gate, approximate="tanh")
        inner = nodes.add("Mul", active, up)
        return self._linear(f"{name}.down_proj", inner, shape.inner, shape.channels)

    def _head(self, x: str) -> None:
        nodes, shape = self._nodes, self._shape
        kept = nodes.optional_input("num_logits_to_keep", _INT64, [], np.array(0, np.int64))
        start = nodes.add("Reshape", nodes.add("Neg", kept), nodes.constant("flat", [-1], np.int64))
        end, axis = nodes.constant("end", [_LAST], np.int64), nodes.constant("one", [1], np.int64)
        x = nodes.add("Slice", x, start, end, axis)
        if shape.is_tied:
            logits = self._weights.tied_head(nodes, x)
        else:
            weight_VC = self._tensor("lm_head.weight", shape.vocabulary, shape.channels)
            logits = self._weights.linear(nodes, "lm_head.weight", weight_VC, x)
        nodes.add_many("Identity", [logits], ["logits"])

    def _linear(self, name: str, x: str, inputs: int, outputs: int) -> str:
        nodes = self._nodes
        weight_NK = self._tensor(f"{name}.weight", outputs, inputs)
        out = self._weights.linear(nodes, f"{name}.weight", weight_NK, x)
        if f"{name}.bias" in self._tensors:
            bias_N = self._tensor(f"{name}.bias", outputs).floats()
            out = nodes.add("Add", out, nodes.constant(f"{name}.bias", bias_N, np.float32))
        rank = f"{name}.rank"
        down = nodes.optional_input(
            f"{name}.lora_A", _FLOAT, [inputs, rank], np.zeros((inputs, 1), np.float32)
        )
        up = nodes.optional_input(
            f"{name}.lora_B", _FLOAT, [rank, outputs], np.zeros((1, outputs), np.float32)
        )
        return nodes.add("Add", out, nodes.add("MatMul", nodes.add("MatMul", x, down), up))

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

    def _head_norm(self, name: str, x: str, heads: int) -> str:
        nodes, dim = self._nodes, self._shape.head_dim
        apart = nodes.constant(f"{heads}_heads", [0, 0, heads, dim], np.int64)
        beside = nodes.constant(f"{heads}_heads_beside", [0, 0, heads * dim], np.int64)
        normed = nodes.add(
            "SimplifiedLayerNormalization",
            nodes.add("Reshape", x, apart),
            self._norm_weight(name, dim),
            axis=-1,
            epsilon=self._shape.eps,
        )
        return nodes.add("Reshape", normed, beside)

    def _norm_weight(self, name: str, size: int) -> str:
        weight = self._tensor(f"{name}.weight", size).floats() + self._shape.norm_offset
        return self._nodes.constant(f"{name}.weight", weight, np.float32)

    def _turns(self, rope: Rope) -> tuple[str, str]:
        if rope not in self._known_turns:
            number = len(self._known_turns)
            cos, sin = rope.tables(self._shape.head_dim, self._context)
            self._known_turns[rope] = (
                self._nodes.constant(f"cos_{number}", cos, np.float32),
                self._nodes.constant(f"sin_{number}", sin, np.float32),
            )
        return self._known_turns[rope]

    def _split(self, x: str, sizes: list[int]) -> list[str]:
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
