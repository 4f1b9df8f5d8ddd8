"""Decoders of the llama family (llama, mistral, qwen2, qwen3), without transformers.

The same numbers and the same names of tensors as transformers' classes; loaded without the seconds
that importing those takes, and trained with less saved between passes. Knows no session.

Shape legend: N tokens of a flat row, C channels, H heads, K key heads, D head dimension.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import torch
from torch import Tensor, nn

from customize_torch.attention import plan_in_force
from customize_torch.few_rows import Joint
from customize_torch.kernels import Kernels

_FAMILIES = {
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
}
_THETA = 10_000.0  # where a configuration is silent, as Llama 2's: the families' one default
# A configuration that leaves one of these out means a default of its family.
_NEEDED = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "rms_norm_eps",
    "hidden_act",
)


@attrs.frozen(kw_only=True)
class Shape:
    """What a decoder is made by."""

    vocabulary: int
    channels: int
    inner: int
    layers: int
    heads: int
    key_heads: int
    head_dim: int
    eps: float
    theta: float
    tied: bool
    has_bias: bool
    has_head_norms: bool


def shape_of(config: Mapping[str, Any]) -> Shape | None:
    """The shape that a config.json asks for; None where it asks for more than is done here."""
    kind = config.get("model_type")
    theta = _theta(config)
    if (
        kind not in _FAMILIES
        or config.get("architectures", [_FAMILIES[kind]]) != [_FAMILIES[kind]]
        or any(config.get(key) is None for key in _NEEDED)
        or (kind == "qwen3" and config.get("head_dim") is None)
        or theta is None
        or _asks_for_more(config)
    ):
        return None
    return Shape(
        vocabulary=config["vocab_size"],
        channels=config["hidden_size"],
        inner=config["intermediate_size"],
        layers=config["num_hidden_layers"],
        heads=config["num_attention_heads"],
        key_heads=config["num_key_value_heads"],
        head_dim=config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"],
        eps=config["rms_norm_eps"],
        theta=theta,
        tied=bool(config.get("tie_word_embeddings")),
        has_bias=kind == "qwen2",
        has_head_norms=kind == "qwen3",
    )


def _theta(config: Mapping[str, Any]) -> float | None:
    """The base of the rotary frequencies, None where they are scaled in any way."""
    ropes = [rope for key in ("rope_parameters", "rope_scaling") if (rope := config.get(key))]
    if any(rope.get("rope_type", rope.get("type", "default")) != "default" for rope in ropes):
        return None
    told = [rope["rope_theta"] for rope in ropes if "rope_theta" in rope]
    theta = told[0] if told else config.get("rope_theta", _THETA)
    return None if theta is None else float(theta)


def _asks_for_more(config: Mapping[str, Any]) -> bool:
    windowed = config.get("use_sliding_window", config["model_type"] == "mistral")
    return bool(
        config["hidden_act"] != "silu"
        or config.get("attention_bias")
        or config.get("mlp_bias")
        or config.get("quantization_config")
        or (windowed and config.get("sliding_window"))
        or {*(config.get("layer_types") or ())} - {"full_attention"}
    )


class CausalLM(nn.Module):
    """A decoder and its head, under transformers' names."""

    def __init__(self, shape: Shape, kernels: Kernels) -> None:
        super().__init__()
        self.model = Decoder(shape, kernels)
        self.lm_head = nn.Linear(shape.channels, shape.vocabulary, bias=False)
        if shape.tied:
            self.lm_head.weight = self.model.embed_tokens.weight


class Decoder(nn.Module):
    """Embedding, layers and the last norm; attention follows the plan in force."""

    def __init__(self, shape: Shape, kernels: Kernels) -> None:
        super().__init__()
        # To draw its weights, which are then read from files, torch would load its compiler.
        empty = torch.empty(shape.vocabulary, shape.channels)
        self.embed_tokens = nn.Embedding.from_pretrained(empty, freeze=False)
        self.layers = nn.ModuleList(
            _Layer(shape, number, kernels) for number in range(shape.layers)
        )
        self.norm = _Norm(shape.channels, shape.eps, kernels)
        self._theta, self._head_dim = shape.theta, shape.head_dim

    @property
    def joints(self) -> list[Joint]:
        """Every linear layer, with those that read the same input."""
        return [
            joint
            for layer in self.layers
            for part in (layer.self_attn, layer.mlp)
            for joint in (part.read, part.write)
        ]

    def forward(
        self, input_ids: Tensor, position_ids: Tensor, kept_T: Tensor | None = None
    ) -> Tensor:
        """Hidden states [1, T, C] at the places ``kept_T``, or at all, of tokens [1, N]."""
        hidden = self.embed_tokens(input_ids)
        turns = self._turns(position_ids[0], hidden.dtype)
        for layer in self.layers[:-1]:
            hidden = layer(hidden, *turns)
        # What the last layer makes of other places is read by nobody.
        out: Tensor = self.norm(self.layers[-1](hidden, *turns, kept_T))
        return out

    def _turns(self, positions_N: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Cosines and sines [N, D], made in float32."""
        even = torch.arange(0, self._head_dim, 2, dtype=torch.float32, device=positions_N.device)
        steps = even / self._head_dim
        angles_ND = (positions_N[:, None].float() * (1.0 / self._theta**steps)).repeat(1, 2)
        return angles_ND.cos().to(dtype), angles_ND.sin().to(dtype)


class _Norm(nn.Module):
    def __init__(self, size: int, eps: float, kernels: Kernels) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self._eps, self._kernels = eps, kernels

    def forward(self, x: Tensor) -> Tensor:
        return self._kernels.rms_norm(x, self.weight, self._eps)


class _Layer(nn.Module):
    def __init__(self, shape: Shape, number: int, kernels: Kernels) -> None:
        super().__init__()
        self.self_attn = _Attention(shape, number, kernels)
        self.mlp = _MLP(shape, kernels)
        self.input_layernorm = _Norm(shape.channels, shape.eps, kernels)
        self.post_attention_layernorm = _Norm(shape.channels, shape.eps, kernels)

    def forward(
        self, hidden: Tensor, cos_ND: Tensor, sin_ND: Tensor, kept_T: Tensor | None = None
    ) -> Tensor:
        attended = self.self_attn(self.input_layernorm(hidden), cos_ND, sin_ND, kept_T)
        hidden = _at(hidden, kept_T) + attended
        out: Tensor = hidden + self.mlp(self.post_attention_layernorm(hidden))
        return out


class _Attention(nn.Module):
    def __init__(self, shape: Shape, number: int, kernels: Kernels) -> None:
        super().__init__()
        channels, dim, bias = shape.channels, shape.head_dim, shape.has_bias
        self.q_proj = nn.Linear(channels, shape.heads * dim, bias=bias)
        self.k_proj = nn.Linear(channels, shape.key_heads * dim, bias=bias)
        self.v_proj = nn.Linear(channels, shape.key_heads * dim, bias=bias)
        self.o_proj = nn.Linear(shape.heads * dim, channels, bias=False)
        self.q_norm = _Norm(dim, shape.eps, kernels) if shape.has_head_norms else nn.Identity()
        self.k_norm = _Norm(dim, shape.eps, kernels) if shape.has_head_norms else nn.Identity()
        self._number, self._dim, self._rotate = number, dim, kernels.rotate
        self.read = Joint(self.q_proj, self.k_proj, self.v_proj)
        self.write = Joint(self.o_proj)

    def forward(self, x: Tensor, cos_ND: Tensor, sin_ND: Tensor, kept_T: Tensor | None) -> Tensor:
        q, k, v = (self._heads(one) for one in self.read(x))
        q = self._turned(self.q_norm(q), cos_ND, sin_ND)
        k = self._turned(self.k_norm(k), cos_ND, sin_ND)
        v = v.transpose(1, 2)
        out = plan_in_force().attend(self._number, q, k, v, self._dim**-0.5, window=0)
        (projected,) = self.write(_at(out.transpose(1, 2).flatten(2), kept_T))
        return projected

    def _turned(self, x_NHD: Tensor, cos_ND: Tensor, sin_ND: Tensor) -> Tensor:
        return self._rotate(x_NHD.transpose(1, 2), cos_ND, sin_ND)

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (-1, self._dim))


class _MLP(nn.Module):
    def __init__(self, shape: Shape, kernels: Kernels) -> None:
        super().__init__()
        self._swiglu = kernels.swiglu
        self.gate_proj = nn.Linear(shape.channels, shape.inner, bias=False)
        self.up_proj = nn.Linear(shape.channels, shape.inner, bias=False)
        self.down_proj = nn.Linear(shape.inner, shape.channels, bias=False)
        self.read = Joint(self.gate_proj, self.up_proj)
        self.write = Joint(self.down_proj)

    def forward(self, x: Tensor) -> Tensor:
        (out,) = self.write(self._swiglu(*self.read(x)))
        return out


def _at(x: Tensor, kept_T: Tensor | None) -> Tensor:
    return x if kept_T is None else x[:, kept_T]
